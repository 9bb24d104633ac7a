import { attachShardMessage, detachShardMessage } from "@sluice/dataplane/messages";
import { errorText } from "@sluice/lib/errors";
import type { Logger } from "../logger.ts";
import { type HandOver, planDrivers } from "../reconcile/drivers.ts";
import { CommandRefused, type WorkerChannel, WorkerGone } from "../worker-processes/worker-channel.ts";
import type { Dataplane } from "./dataplane.ts";
import type { OpenResources, OpenShard, OpenShards } from "./open-resources.ts";
import type { ConnectedWorker, Workers } from "./workers.ts";

/** Who has a shard's ring mapped, or is about to. */
export interface ShardDriver {
	readonly slot: number;
	readonly channel: WorkerChannel;
	/** Resolves when that worker certainly runs no more. */
	readonly ended: Promise<void>;
	readonly end: () => void;
}

const ENOENT = 2;

/**
 * Gives shards to workers and takes them back, one step at a time for each shard: a
 * ring has never two drivers. Whoever drives one does so until it acknowledged the
 * detaching, or its packet thread has ended; being cut off is not enough.
 */
export class ShardDrivers {
	readonly #dataplane: Pick<Dataplane, "settleShard" | "driverOfShard">;
	readonly #counterMemories: readonly number[];
	readonly #workers: Workers;
	readonly #open: OpenResources;
	readonly #mostPerWorker: number;
	readonly #log: Logger;
	/** All that have a driver, those that are being opened or closed as well. */
	readonly #driven = new Set<OpenShard>();

	/** @param counterMemories By worker slot. */
	constructor(
		dataplane: Pick<Dataplane, "settleShard" | "driverOfShard">,
		counterMemories: readonly number[],
		workers: Workers,
		open: OpenResources,
		mostPerWorker: number,
		log: Logger,
	) {
		this.#dataplane = dataplane;
		this.#counterMemories = counterMemories;
		this.#workers = workers;
		this.#open = open;
		this.#mostPerWorker = mostPerWorker;
		this.#log = log;
	}

	/** What is to be handed over now; `opening` are shards that are not among the open ones yet. */
	plan(opening: readonly OpenShards[] = []): HandOver[] {
		const draining = this.#workers.draining();
		const staying = this.#workers
			.running()
			.map(({ slot }) => slot)
			.filter((slot) => !draining.includes(slot));
		const shards = [...this.#open.shards.values(), ...opening];
		return planDrivers(shards, staying, this.#mostPerWorker, draining);
	}

	/**
	 * Workers that drain hand over what they drive, each shard at a batch boundary. Resolves
	 * when that is done, or cannot be: what stays with them, rings hold until somebody comes.
	 */
	async vacate(): Promise<void> {
		await Promise.allSettled(this.plan().map((handOver) => this.handOver(handOver)));
	}

	/**
	 * A worker's process runs no more: its shards go to survivors at once, without
	 * waiting for the round that may be under way.
	 */
	ended(channel: WorkerChannel): void {
		const startedMs = performance.now();
		const released = [...this.#driven].filter(({ driver }) => driver?.channel === channel);
		for (const shard of released) {
			this.#settle(shard, shard.driver?.slot);
			this.#release(shard);
		}
		const plan = this.plan();
		// With no survivor their rings hold what comes.
		if (released.length === 0 || plan.length === 0) return;
		void Promise.allSettled(plan.map((handOver) => this.handOver(handOver))).then(() => {
			const to = new Set(plan.map((handOver) => handOver.to));
			const tookMs = Math.round((performance.now() - startedMs) * 10) / 10;
			this.#log.info(
				{ shards: plan.length, to: [...to], tookMs },
				"shards of a dead worker were handed over",
			);
		});
	}

	/** Rejects when the worker refuses it; one that dies meanwhile is passed over. */
	async handOver({ ifindex, shard, to }: HandOver): Promise<void> {
		const shards = this.#open.shards.get(ifindex);
		const worker = this.#workers.running().find(({ slot }) => slot === to);
		if (shards === undefined || worker === undefined) return;
		try {
			await this.give(worker, shards, shard);
		} catch (thrown) {
			if (!(thrown instanceof WorkerGone)) throw thrown;
		}
	}

	/** From whoever drives it, if that is not its own worker. */
	async give(worker: ConnectedWorker, shards: OpenShards, index: number): Promise<void> {
		const shard = shards.shards[index];
		if (shard === undefined) throw new Error(`no shard ${index}`);
		await inTurn(shard, async () => {
			if (shard.closed || shard.driver?.channel === worker.channel) return;
			// Meanwhile somebody else took it; only its own worker takes it away again.
			if (shard.driver !== undefined && worker.slot !== index && !this.#drains(shard.driver)) return;
			await this.#detach(shard);
			await this.#attach(worker, shards, shard);
		});
	}

	/** For good. */
	async take(shard: OpenShard): Promise<void> {
		await inTurn(shard, async () => {
			shard.closed = true;
			await this.#detach(shard);
		});
	}

	#drains({ slot }: ShardDriver): boolean {
		return this.#workers.draining().includes(slot);
	}

	/** The worker says that it drives this one, by the word of a supervisor before this one. */
	adopt(worker: ConnectedWorker, id: number): void {
		const all = [...this.#open.shards.values()].flatMap(({ shards }) => shards);
		const shard = all.find((candidate) => candidate.id === id);
		if (shard === undefined) {
			// Its interface's were being opened or closed: nobody has them any more.
			worker.channel.command((sequence) => detachShardMessage(sequence, id)).catch(() => {});
		} else if (shard.driver !== undefined) {
			this.#workers.restart(worker.slot, "it drives a shard that another one drives");
		} else {
			this.#drive(worker, shard);
		}
	}

	/**
	 * All have said what they drive. Whoever drove the rest died while there was no supervisor:
	 * survivors go on there with the table that they have, which is the one it had.
	 */
	async adoptOrphans(): Promise<void> {
		const interfaces = [...this.#open.shards.values()];
		const orphans = new Set(interfaces.flatMap(({ shards }) => shards.filter(({ driver }) => !driver)));
		if (orphans.size === 0) return;
		for (const shard of orphans) this.#settle(shard, this.#lastDriver(shard));
		// Who drives something has all that it takes.
		const survivors = new Set([...this.#driven].flatMap(({ driver }) => driver?.slot ?? []));
		const plan = planDrivers(interfaces, [...survivors], this.#mostPerWorker).flatMap((handOver) => {
			const shards = this.#open.shards.get(handOver.ifindex);
			const shard = shards?.shards[handOver.shard];
			const worker = this.#workers.connected(handOver.to);
			const isMeant = shards !== undefined && shard !== undefined && orphans.has(shard);
			return isMeant && worker !== undefined ? [this.give(worker, shards, handOver.shard)] : [];
		});
		// Whom a survivor refuses, or does not live to take, the first round hands over.
		const given = await Promise.allSettled(plan);
		this.#log.warn(
			{ shards: orphans.size, handedOver: given.filter(({ status }) => status === "fulfilled").length },
			"shards of workers that ended without a supervisor",
		);
	}

	#lastDriver({ id, state }: OpenShard): number | undefined {
		try {
			return this.#dataplane.driverOfShard(state);
		} catch (thrown) {
			this.#log.error({ shard: id }, `nobody knows who drove it: ${errorText(thrown)}`);
			return undefined;
		}
	}

	#drive({ slot, channel }: ConnectedWorker, shard: OpenShard): void {
		const { promise, resolve } = Promise.withResolvers<void>();
		shard.driver = { slot, channel, ended: promise, end: resolve };
		this.#driven.add(shard);
	}

	async #attach(worker: ConnectedWorker, { ifindex, ring }: OpenShards, shard: OpenShard) {
		const { channel } = worker;
		if (channel.gone) throw new WorkerGone();
		this.#drive(worker, shard);
		try {
			await channel.command(
				(sequence) => attachShardMessage(sequence, shard.id, ifindex, ring),
				[shard.socket, shard.state],
			);
		} catch (thrown) {
			// One that is gone may have carried it out all the same; it drives until its process has ended.
			if (thrown instanceof CommandRefused) this.#release(shard);
			throw thrown;
		}
	}

	async #detach(shard: OpenShard): Promise<void> {
		const { driver } = shard;
		if (driver === undefined) return;
		try {
			await driver.channel.command((sequence) => detachShardMessage(sequence, shard.id));
		} catch (thrown) {
			// A worker that keeps a socket of a fanout group open would go on getting its share.
			if (thrown instanceof CommandRefused && thrown.errno !== ENOENT)
				this.#workers.restart(driver.slot, "it did not detach a shard");
			if (!(thrown instanceof CommandRefused && thrown.errno === ENOENT)) await driver.ended;
		}
		if (shard.driver === driver) this.#release(shard);
	}

	/** Its driver died, perhaps in the middle of counting. */
	#settle({ id, state }: OpenShard, slot: number | undefined): void {
		const counters = slot === undefined ? undefined : this.#counterMemories[slot];
		if (counters === undefined) return;
		try {
			this.#dataplane.settleShard(state, counters);
		} catch (thrown) {
			// Only a worker in foreign hands writes such a state; its successor goes on all the same.
			this.#log.error({ shard: id, worker: slot }, `its last counts are lost: ${errorText(thrown)}`);
		}
	}

	#release(shard: OpenShard): void {
		shard.driver?.end();
		shard.driver = undefined;
		this.#driven.delete(shard);
	}
}

async function inTurn(shard: OpenShard, step: () => Promise<void>): Promise<void> {
	const done = shard.turn.then(step);
	shard.turn = done.catch(() => {});
	await done;
}
