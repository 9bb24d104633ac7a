import { addEgressMessage, removeEgressMessage } from "@sluice/dataplane/messages";
import type { Egress } from "../reconcile/types.ts";
import { CommandRefused } from "../worker-processes/worker-channel.ts";
import { broadcast } from "./broadcast.ts";
import type { Dataplane } from "./dataplane.ts";
import type { OpenEgress, OpenResources } from "./open-resources.ts";
import { Slots } from "./slots.ts";
import type { ConnectedWorker, Workers } from "./workers.ts";

const EBUSY = 16;

/**
 * Egress sockets: made here, since workers may not, and handed over. None is kept:
 * a successor gets new ones, bound to the same port, which costs the supervisor no
 * descriptors (ADR 0062).
 */
export class EgressOpener {
	readonly #dataplane: Dataplane;
	readonly #workers: Workers;
	readonly #open: OpenResources;
	readonly #slots: Slots;
	/** Numbers under which a worker may have the right socket already. */
	readonly #adopted = new Set<number>();

	/** @param note writes down which sockets have which numbers, for a successor. */
	constructor(
		dataplane: Dataplane,
		workers: Workers,
		open: OpenResources,
		limit: number,
		note: () => void = () => {},
	) {
		this.#dataplane = dataplane;
		this.#workers = workers;
		this.#open = open;
		this.#slots = new Slots(limit, note);
	}

	/** What workers hold by the word of the supervisor before this one. */
	adopt(egress: readonly OpenEgress[]): void {
		for (const each of egress) {
			this.#open.egress.set(each.key, each);
			this.#adopted.add(each.slot);
		}
		this.#slots.reserve(this.#adopted);
	}

	async open(egress: Egress): Promise<void> {
		const slot = this.#slots.take();
		if (slot === undefined) throw new Error("no egress slot is free");
		const opened = { ...egress, slot };
		const { refusals } = await broadcast(this.#workers, (worker) => this.add(worker, opened));
		const refusal = refusals[0];
		if (refusal !== undefined) {
			await this.#remove(opened);
			throw refusal.thrown;
		}
		// With no worker running the kernel has not been asked yet; it is when the first one comes.
		this.#open.egress.set(egress.key, opened);
	}

	async add(worker: ConnectedWorker, egress: OpenEgress): Promise<void> {
		try {
			await this.#give(worker, egress);
		} catch (thrown) {
			if (!(thrown instanceof CommandRefused && thrown.errno === EBUSY)) throw thrown;
			if (this.#adopted.has(egress.slot)) return;
			// Of a supervisor that died before it wrote this down; no table names it.
			await worker.channel.command((sequence) => removeEgressMessage(sequence, egress.slot));
			await this.#give(worker, egress);
		}
	}

	async #give({ channel }: ConnectedWorker, egress: OpenEgress): Promise<void> {
		const socket = this.#dataplane.openEgress(egress.ifindex, egress.bindAddress, egress.sourcePort);
		try {
			await channel.command((sequence) => addEgressMessage(sequence, egress.slot, egress.ifindex), [socket]);
		} finally {
			this.#dataplane.closeDescriptor(socket);
		}
	}

	async close(key: string): Promise<void> {
		const egress = this.#open.egress.get(key);
		if (egress === undefined) return;
		this.#open.egress.delete(key);
		await this.#remove(egress);
	}

	slotOf(key: string): number {
		const egress = this.#open.egress.get(key);
		if (egress === undefined) throw new Error(`no egress socket ${key}`);
		return egress.slot;
	}

	/** The number is free again once no worker has the socket. */
	async #remove({ slot }: OpenEgress): Promise<void> {
		// A worker that never had it, because it refused it, refuses the removal as well.
		await broadcast(this.#workers, async ({ channel }) => {
			await channel.command((sequence) => removeEgressMessage(sequence, slot));
		});
		this.#adopted.delete(slot);
		this.#slots.give(slot);
	}
}
