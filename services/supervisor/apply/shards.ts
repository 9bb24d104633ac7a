import { DataplaneError } from "@sluice/dataplane/errors";
import { attachShardMessage, detachShardMessage } from "@sluice/dataplane/messages";
import type { CaptureFilter } from "@sluice/dataplane/supervisor";
import type { Link } from "../reconcile/types.ts";
import { broadcast } from "./broadcast.ts";
import type { Dataplane } from "./dataplane.ts";
import type { OpenResources, OpenShard, OpenShards } from "./open-resources.ts";
import type { ConnectedWorker, Workers } from "./workers.ts";

export interface ShardsOptions {
	/** One shard per worker and interface. */
	readonly workers: number;
	/** Destination addresses of one interface. */
	readonly filterCapacity: number;
	/** Below this a ring is not worth having. */
	readonly minimumBytes: number;
	/** The kernel describes UDP super-packets in the header before each frame. */
	readonly vnetHeader: boolean;
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
	readonly #options: ShardsOptions;
	#lastId = 0;

	constructor(dataplane: Dataplane, workers: Workers, open: OpenResources, options: ShardsOptions) {
		this.#dataplane = dataplane;
		this.#workers = workers;
		this.#open = open;
		this.#options = options;
	}

	async open(link: Link, ringBytes: number): Promise<void> {
		const shards = this.#create(link, ringBytes);
		const { refusals } = await broadcast(this.#workers, (worker) => this.attach(worker, shards));
		const refusal = refusals[0];
		if (refusal !== undefined) {
			await this.#detach(shards);
			this.#closeAll(shards);
			throw refusal.thrown;
		}
		this.#open.shards.set(link.ifindex, shards);
	}

	async attach({ slot, channel }: ConnectedWorker, { shards, ifindex, ring }: OpenShards): Promise<void> {
		const shard = shards[slot];
		if (shard === undefined) throw new Error(`no shard for worker ${slot}`);
		await channel.command(
			(sequence) => attachShardMessage(sequence, shard.id, ifindex, ring),
			[shard.socket, shard.state],
		);
	}

	async close(ifindex: number): Promise<void> {
		const shards = this.#open.shards.get(ifindex);
		if (shards === undefined) return;
		this.#open.shards.delete(ifindex);
		for (const [key, destination] of this.#open.destinations) {
			if (destination.ifindex === ifindex) this.#open.destinations.delete(key);
		}
		await this.#detach(shards);
		this.#closeAll(shards);
	}

	async #detach(shards: OpenShards): Promise<void> {
		const { refusals } = await broadcast(this.#workers, async ({ slot, channel }) => {
			const id = shards.shards[slot]?.id;
			if (id !== undefined) await channel.command((sequence) => detachShardMessage(sequence, id));
		});
		// A worker that keeps a socket of a fanout group open would go on getting its share.
		for (const { worker } of refusals) this.#workers.restart(worker.slot, "it did not detach a shard");
	}

	#create(link: Link, ringBytes: number): OpenShards {
		const { workers, filterCapacity } = this.#options;
		const filter = this.#dataplane.createFilter(filterCapacity);
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
				shards.push({ id: this.#lastId, socket, state });
			}
			return {
				ifindex: link.ifindex,
				name: link.name,
				ringBytes: ring.blockBytes * ring.blockCount,
				filter,
				shards,
				ring,
			};
		} catch (thrown) {
			for (const descriptor of [...opened, filter.mapFd]) this.#dataplane.closeDescriptor(descriptor);
			throw thrown;
		} finally {
			// The sockets hold the program; its map stays ours, to say what passes.
			this.#dataplane.closeDescriptor(filter.programFd);
		}
	}

	/** Halves the rings as long as the kernel lacks memory for them. */
	#openSockets(link: Link, ringBytes: number, filter: CaptureFilter) {
		const { workers, minimumBytes, vnetHeader } = this.#options;
		for (let bytes = ringBytes; ; bytes /= 2) {
			const ring = this.#dataplane.planRing(link.mtu, bytes, vnetHeader);
			try {
				return { sockets: this.#dataplane.openShards(link.ifindex, workers, ring, filter), ring };
			} catch (thrown) {
				const lacksMemory = thrown instanceof DataplaneError && thrown.code === "ENOMEM";
				if (!lacksMemory || bytes / 2 < minimumBytes) throw thrown;
			}
		}
	}

	#closeAll({ shards, filter }: OpenShards): void {
		for (const { socket, state } of shards) {
			this.#dataplane.closeDescriptor(socket);
			this.#dataplane.closeDescriptor(state);
		}
		this.#dataplane.closeDescriptor(filter.mapFd);
	}
}
