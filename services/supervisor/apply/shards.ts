import { DataplaneError } from "@sluice/dataplane/errors";
import type { CaptureFilter } from "@sluice/dataplane/supervisor";
import type { InheritedShards } from "../adopt/inheritance.ts";
import { type Keeping, NOTHING_KEPT } from "../adopt/keeping.ts";
import { shardsName } from "../adopt/names.ts";
import type { Link } from "../reconcile/types.ts";
import { broadcast } from "./broadcast.ts";
import type { Dataplane } from "./dataplane.ts";
import type { OpenResources, OpenShard, OpenShards } from "./open-resources.ts";
import type { ShardDrivers } from "./shard-drivers.ts";
import type { Workers } from "./workers.ts";

export interface ShardsOptions {
	/** One shard per worker and interface. */
	readonly workers: number;
	/** Destination addresses of one interface. */
	readonly filterCapacity: number;
	/** Below this a ring is not worth having. */
	readonly minimumBytes: number;
	/** The kernel describes UDP super-packets in the header before each frame. */
	readonly vnetHeader: boolean;
	/** Has them too, so that they outlive the supervisor. */
	readonly keeping?: Keeping;
}

/**
 * Opens and closes the capture sockets of an interface. They and their cursors
 * outlive the workers: the supervisor keeps its descriptors, and a successor goes
 * on in the ring where the dead worker stopped.
 */
export class ShardOpener {
	readonly #dataplane: Dataplane;
	readonly #workers: Workers;
	readonly #open: OpenResources;
	readonly #drivers: ShardDrivers;
	readonly #options: ShardsOptions;
	readonly #keeping: Keeping;
	/** Interfaces whose rings would stop again if super-packets were described. */
	readonly #withoutHeader = new Set<number>();
	#lastId = 0;

	constructor(
		dataplane: Dataplane,
		workers: Workers,
		open: OpenResources,
		drivers: ShardDrivers,
		options: ShardsOptions,
	) {
		this.#dataplane = dataplane;
		this.#workers = workers;
		this.#open = open;
		this.#drivers = drivers;
		this.#options = options;
		this.#keeping = options.keeping ?? NOTHING_KEPT;
	}

	/** Those of a supervisor before this one; who drives them, the workers will say. */
	adopt({ ifindex, firstId, ring, mapFd, shards }: InheritedShards): OpenShards {
		this.#lastId = Math.max(this.#lastId, firstId + shards.length - 1);
		const opened = {
			ifindex,
			ringBytes: ring.blockBytes * ring.blockCount,
			filter: { programFd: -1, mapFd },
			ring,
			deaf: false,
			shards: shards.map(({ socket, state }, slot) => openShard(firstId + slot, socket, state)),
		};
		this.#open.shards.set(ifindex, opened);
		if (!ring.vnetHeader) this.#withoutHeader.add(ifindex);
		return opened;
	}

	async open(link: Link, ringBytes: number): Promise<void> {
		const opened = this.#create(link, ringBytes);
		const fds = opened.shards.flatMap(({ socket, state }) => [socket, state]);
		this.#keeping.keep(nameOf(opened), [opened.filter.mapFd, ...fds]);
		const plan = this.#drivers.plan([opened]).filter(({ ifindex }) => ifindex === link.ifindex);
		const { refusals } = await broadcast(this.#workers, async (worker) => {
			const own = plan.filter(({ to }) => to === worker.slot);
			await Promise.all(own.map(({ shard }) => this.#drivers.give(worker, opened, shard)));
		});
		const refusal = refusals[0];
		if (refusal !== undefined) {
			await this.#closeAll(opened);
			throw refusal.thrown;
		}
		this.#open.shards.set(link.ifindex, opened);
		this.#drivers.arrange();
	}

	/**
	 * Who drives a shard says that its ring is deaf: those of the interface are to be opened anew,
	 * without that header, with which it can't happen again. Its index; undefined: nobody, or nothing to do.
	 */
	deafen(id: number, slot: number): number | undefined {
		for (const opened of this.#open.shards.values()) {
			const shard = opened.shards.find((candidate) => candidate.id === id);
			if (shard?.driver?.slot !== slot || opened.deaf || !opened.ring.vnetHeader) continue;
			opened.deaf = true;
			this.#withoutHeader.add(opened.ifindex);
			return opened.ifindex;
		}
		return undefined;
	}

	/**
	 * The link was taken away, with all that was bound to it or joined on it. Another of its index may
	 * be there by now: of that there is nothing yet.
	 */
	outlived(ifindex: number): boolean {
		const opened = this.#open.shards.get(ifindex);
		return opened?.shards.some(({ socket }) => !this.#dataplane.isBound(socket)) ?? false;
	}

	async close(ifindex: number): Promise<void> {
		const shards = this.#open.shards.get(ifindex);
		if (shards === undefined) return;
		this.#open.shards.delete(ifindex);
		for (const [key, destination] of this.#open.destinations) {
			if (destination.ifindex === ifindex) this.#open.destinations.delete(key);
		}
		await this.#closeAll(shards);
	}

	#create(link: Link, ringBytes: number): OpenShards {
		const { workers, filterCapacity } = this.#options;
		const filter = this.#dataplane.createFilter(filterCapacity, this.#hasHeader(link));
		const opened: number[] = [];
		try {
			const { sockets, ring } = this.#openSockets(link, ringBytes, filter);
			opened.push(...sockets);
			const shards: OpenShard[] = [];
			for (let slot = 0; slot < workers; slot += 1) {
				const socket = sockets[slot];
				if (socket === undefined) throw new Error("the kernel opened fewer sockets than asked for");
				const state = this.#dataplane.createShardState();
				opened.push(state);
				this.#lastId += 1;
				shards.push(openShard(this.#lastId, socket, state));
			}
			return {
				ifindex: link.ifindex,
				ringBytes: ring.blockBytes * ring.blockCount,
				filter,
				shards,
				ring,
				deaf: false,
			};
		} catch (thrown) {
			for (const descriptor of [...opened, filter.mapFd]) this.#dataplane.closeDescriptor(descriptor);
			throw thrown;
		} finally {
			// The sockets hold the program; its map stays ours, to say what passes.
			this.#dataplane.closeDescriptor(filter.programFd);
		}
	}

	#hasHeader({ ifindex }: Link): boolean {
		return this.#options.vnetHeader && !this.#withoutHeader.has(ifindex);
	}

	/** Halves the rings as long as the kernel lacks memory for them. */
	#openSockets(link: Link, ringBytes: number, filter: CaptureFilter) {
		const { workers, minimumBytes } = this.#options;
		for (let bytes = ringBytes; ; bytes /= 2) {
			const ring = this.#dataplane.planRing(link.mtu, bytes, this.#hasHeader(link));
			try {
				return { sockets: this.#dataplane.openShards(link.ifindex, workers, ring, filter), ring };
			} catch (thrown) {
				const lacksMemory = thrown instanceof DataplaneError && thrown.code === "ENOMEM";
				if (!lacksMemory || bytes / 2 < minimumBytes) throw thrown;
			}
		}
	}

	async #closeAll(opened: OpenShards): Promise<void> {
		const { shards, filter } = opened;
		await Promise.all(shards.map((shard) => this.#drivers.take(shard)));
		this.#keeping.release(nameOf(opened));
		for (const { socket, state } of shards) {
			this.#dataplane.closeDescriptor(socket);
			this.#dataplane.closeDescriptor(state);
		}
		this.#dataplane.closeDescriptor(filter.mapFd);
	}
}

function openShard(id: number, socket: number, state: number): OpenShard {
	return { id, socket, state, driver: undefined, turn: Promise.resolve(), moving: false, closed: false };
}

function nameOf({ ifindex, shards, ring }: OpenShards): string {
	return shardsName({ ifindex, firstId: shards[0]?.id ?? 0, ring });
}
