import { attachShardMessage, detachShardMessage } from "@sluice/dataplane/messages";
import { errorText } from "@sluice/lib/errors";
import type { Logger } from "../logger.ts";
import { type HandOver, planDrivers, planSuccessors } from "../reconcile/drivers.ts";
import { CommandRefused, type WorkerChannel, WorkerGone } from "../worker-processes/worker-channel.ts";
import type { Dataplane } from "./dataplane.ts";
import type { OpenResources, OpenShard, OpenShards } from "./open-resources.ts";
import { Succession } from "./succession.ts";
import type { ConnectedWorker, Workers } from "./workers.ts";

/** Who has a shard's ring mapped, or is about to. */
export interface ShardDriver {
	readonly slot: number;
	readonly channel: WorkerChannel;
	/** Resolves when that worker certainly runs no more. */
	readonly ended: Promise<void>;
	readonly end: () => void;
}

export interface ShardDriversParts {
	readonly dataplane: Pick<
		Dataplane,
		"settleShard" | "driverOfShard" | "nameSuccessor" | "withdrawSuccessor"
	>;
	readonly workers: Workers;
	readonly open: OpenResources;
	/** By worker slot. */
	readonly counterMemories: readonly number[];
	/** When the packet thread of a slot last looked at its rings (CLOCK_MONOTONIC, ns). */
	readonly heartbeat: (slot: number) => bigint;
	readonly mostPerWorker: number;
	readonly log: Logger;
}

const ENOENT = 2;

/**
 * Gives shards to workers and takes them back, one step at a time for each shard: a
 * ring has never two drivers. Whoever drives one does so until it acknowledged the
 * detaching, or its packet thread has ended; being cut off is not enough.
 */
export class ShardDrivers {
	readonly #parts: ShardDriversParts;
	/** All that have a driver, those that are being opened or closed as well. */
	readonly #driven = new Set<OpenShard>();
	readonly #succession: Succession;
	/** Of packet threads that have ended. */
	readonly #gone = new WeakSet<WorkerChannel>();
	/** From the dead to survivors. */
	readonly #handingOver = new Set<Promise<void>>();
	#arranging = false;
	#stopped = false;

	constructor(parts: ShardDriversParts) {
		this.#parts = parts;
		this.#succession = new Succession(parts.dataplane, parts.counterMemories);
	}

	/** Names who goes on in which shard if its driver ends now. When workers or shards have changed. */
	arrange(): void {
		if (this.#arranging) return;
		this.#arranging = true;
		// Many steps at once end in one arrangement.
		queueMicrotask(() => {
			this.#arranging = false;
			if (!this.#stopped) this.#arrange();
		});
	}

	/** Nobody goes on for workers that end from now on. */
	stop(): void {
		this.#stopped = true;
		this.#succession.withdrawAll();
	}

	/** What is to be handed over now; `opening` are shards that are not among the open ones yet. */
	plan(opening: readonly OpenShards[] = []): HandOver[] {
		const { open, mostPerWorker, workers } = this.#parts;
		return planDrivers(
			[...open.shards.values(), ...opening],
			this.#staying(),
			mostPerWorker,
			workers.draining(),
		);
	}

	/**
	 * Workers that drain hand over what they drive, each shard at a batch boundary. Resolves
	 * when that is done, or cannot be: what stays with them, rings hold until somebody comes.
	 */
	async vacate(): Promise<void> {
		await Promise.allSettled(this.plan().map((handOver) => this.handOver(handOver)));
	}

	/** Who was named for a shard is being told to drive it. */
	succeeded(sequence: bigint, id: number): void {
		this.#succession.carriedOut(sequence, id, ({ shard, to, acknowledged }) => {
			const lastLookUs = this.#lastLookUs(shard.driver);
			this.#release(shard);
			const driver = this.#drive(to, shard);
			const taken = acknowledged.then(
				(atUs) => this.#report(shard, to.slot, atUs - lastLookUs),
				(thrown) => {
					if (shard.driver !== driver || !(thrown instanceof CommandRefused)) return;
					this.#release(shard);
					this.#handOverAll(new Map([[shard, lastLookUs]]));
				},
			);
			this.#awaited(taken);
			// Its end was heard of before.
			if (this.#gone.has(to.channel)) this.ended(to.channel);
		});
	}

	/**
	 * Resolves when survivors, as far as there are any, have what the dead drove. A batch that was
	 * left half sent is finished by whoever has the table that it was begun with, or the next one:
	 * tables and egress sockets change no further before.
	 */
	async handedOver(): Promise<void> {
		for (;;) {
			const ending = [...this.#driven].flatMap(({ driver }) => (driver?.channel.gone ? [driver.ended] : []));
			if (ending.length + this.#handingOver.size === 0) return;
			await Promise.all([...ending, ...this.#handingOver]);
		}
	}

	/** The worker drives nothing, and there is what nobody drives. */
	mayFinish({ channel }: ConnectedWorker): boolean {
		const all = [...this.#parts.open.shards.values()].flatMap(({ shards }) => shards);
		return (
			all.some(({ driver }) => driver === undefined) && all.every(({ driver }) => driver?.channel !== channel)
		);
	}

	/**
	 * A worker's packet thread runs no more: those of its shards that nobody was named for go
	 * to survivors at once, without waiting for the round that may be under way.
	 */
	ended(channel: WorkerChannel): void {
		this.#gone.add(channel);
		const released = new Map<OpenShard, number>();
		for (const shard of [...this.#driven]) {
			const { driver } = shard;
			// Too late to withdraw: it has another driver, as succeeded() is about to hear.
			if (driver?.channel !== channel || this.#succession.withdraw(shard) !== undefined) continue;
			released.set(shard, this.#lastLookUs(driver));
			this.#settle(shard, driver.slot);
			this.#release(shard);
		}
		// With no survivor their rings hold what comes.
		if (released.size > 0) this.#handOverAll(released);
		this.arrange();
	}

	/** Rejects when the worker refuses it; one that dies meanwhile is passed over. When it was done, if it was (µs). */
	async handOver({ ifindex, shard, to }: HandOver): Promise<number | undefined> {
		const shards = this.#parts.open.shards.get(ifindex);
		const worker = this.#parts.workers.running().find(({ slot }) => slot === to);
		if (shards === undefined || worker === undefined) return undefined;
		try {
			return await this.give(worker, shards, shard);
		} catch (thrown) {
			if (!(thrown instanceof WorkerGone)) throw thrown;
			return undefined;
		}
	}

	/** From whoever drives it, if that is not its own worker. */
	async give(worker: ConnectedWorker, shards: OpenShards, index: number): Promise<number | undefined> {
		const shard = shards.shards[index];
		if (shard === undefined) throw new Error(`no shard ${index}`);
		return await this.#inTurn(shard, async () => {
			if (shard.closed || shard.driver?.channel === worker.channel) return undefined;
			// Meanwhile somebody else took it; only its own worker takes it away again.
			if (
				shard.driver !== undefined &&
				worker.slot !== index &&
				!this.#parts.workers.draining().includes(shard.driver.slot)
			)
				return undefined;
			await this.#detach(shard);
			return await this.#attach(worker, shards, shard);
		});
	}

	/** For good. */
	async take(shard: OpenShard): Promise<void> {
		await this.#inTurn(shard, async () => {
			shard.closed = true;
			await this.#detach(shard);
		});
	}

	/** The worker says that it drives this one, by the word of a supervisor before this one. */
	adopt(worker: ConnectedWorker, id: number): void {
		const all = [...this.#parts.open.shards.values()].flatMap(({ shards }) => shards);
		const shard = all.find((candidate) => candidate.id === id);
		if (shard === undefined) {
			// Its interface's were being opened or closed: nobody has them any more.
			worker.channel.command((sequence) => detachShardMessage(sequence, id)).catch(() => {});
		} else if (shard.driver !== undefined) {
			this.#parts.workers.restart(worker.slot, "it drives a shard that another one drives");
		} else {
			this.#drive(worker, shard);
		}
	}

	/**
	 * All have said what they drive. Whoever drove the rest died while there was no supervisor:
	 * survivors go on there with the table that they have, which is the one it had.
	 */
	async adoptOrphans(): Promise<void> {
		const interfaces = [...this.#parts.open.shards.values()];
		const orphans = new Set(interfaces.flatMap(({ shards }) => shards.filter(({ driver }) => !driver)));
		if (orphans.size === 0) return;
		for (const shard of orphans) this.#settle(shard, this.#lastDriver(shard));
		// Who drives something has all that it takes.
		const survivors = new Set([...this.#driven].flatMap(({ driver }) => driver?.slot ?? []));
		const plan = planDrivers(interfaces, [...survivors], this.#parts.mostPerWorker).flatMap((handOver) => {
			const shards = this.#parts.open.shards.get(handOver.ifindex);
			const shard = shards?.shards[handOver.shard];
			const worker = this.#parts.workers.connected(handOver.to);
			const isMeant = shards !== undefined && shard !== undefined && orphans.has(shard);
			return isMeant && worker !== undefined ? [this.give(worker, shards, handOver.shard)] : [];
		});
		// Whom a survivor refuses, or does not live to take, the first round hands over.
		const given = await Promise.allSettled(plan);
		this.#parts.log.warn(
			{ shards: orphans.size, handedOver: given.filter(({ status }) => status === "fulfilled").length },
			"shards of workers that ended without a supervisor",
		);
	}

	#lastDriver({ id, state }: OpenShard): number | undefined {
		try {
			return this.#parts.dataplane.driverOfShard(state);
		} catch (thrown) {
			this.#parts.log.error({ shard: id }, `nobody knows who drove it: ${errorText(thrown)}`);
			return undefined;
		}
	}

	#drive({ slot, channel }: ConnectedWorker, shard: OpenShard): ShardDriver {
		const { promise, resolve } = Promise.withResolvers<void>();
		const driver = { slot, channel, ended: promise, end: resolve };
		shard.driver = driver;
		this.#driven.add(shard);
		return driver;
	}

	async #attach(worker: ConnectedWorker, { ifindex, ring }: OpenShards, shard: OpenShard): Promise<number> {
		const { channel } = worker;
		if (channel.gone) throw new WorkerGone();
		this.#drive(worker, shard);
		try {
			return await channel.command(
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
				this.#parts.workers.restart(driver.slot, "it did not detach a shard");
			if (!(thrown instanceof CommandRefused && thrown.errno === ENOENT)) await driver.ended;
		}
		if (shard.driver === driver) this.#release(shard);
	}

	/** Its driver died, perhaps in the middle of counting. */
	#settle({ id, state }: OpenShard, slot: number | undefined): void {
		const counters = slot === undefined ? undefined : this.#parts.counterMemories[slot];
		if (counters === undefined) return;
		try {
			this.#parts.dataplane.settleShard(state, counters);
		} catch (thrown) {
			// Only a worker in foreign hands writes such a state; its successor goes on all the same.
			this.#parts.log.error({ shard: id, worker: slot }, `its last counts are lost: ${errorText(thrown)}`);
		}
	}

	#release(shard: OpenShard): void {
		shard.driver?.end();
		shard.driver = undefined;
		this.#driven.delete(shard);
	}

	/** Those that run and are not to be replaced. Slots. */
	#staying(): number[] {
		const draining = this.#parts.workers.draining();
		const running = this.#parts.workers.running().map(({ slot }) => slot);
		return running.filter((slot) => !draining.includes(slot));
	}

	#arrange(): void {
		const { open, mostPerWorker, workers } = this.#parts;
		const plan = planSuccessors(open.shards.values(), this.#staying(), mostPerWorker, workers.draining());
		for (const shards of open.shards.values()) {
			const successors = plan.get(shards.ifindex);
			for (const [index, shard] of shards.shards.entries()) {
				const slot = successors?.get(index);
				const worker = workers.running().find((candidate) => candidate.slot === slot);
				if (!shard.moving) this.#succession.name(shards, shard, worker);
			}
		}
	}

	/** Released shards and when somebody last looked at them, to whoever is there. */
	#handOverAll(released: ReadonlyMap<OpenShard, number>): void {
		for (const handOver of this.plan()) {
			const shard = this.#parts.open.shards.get(handOver.ifindex)?.shards[handOver.shard];
			const lastLookUs = shard === undefined ? undefined : released.get(shard);
			const given = this.handOver(handOver).then(
				(atUs) => {
					if (shard === undefined || lastLookUs === undefined || atUs === undefined) return;
					this.#report(shard, handOver.to, atUs - lastLookUs);
				},
				// The next round tries again, and says so.
				() => {},
			);
			this.#awaited(given);
		}
	}

	/** What handedOver() waits for; resolves in any case. */
	#awaited(handingOver: Promise<void>): void {
		const done = handingOver.then(() => {
			this.#handingOver.delete(done);
		});
		this.#handingOver.add(done);
	}

	#lastLookUs(driver: ShardDriver | undefined): number {
		return driver === undefined ? 0 : Number(BigInt.asUintN(32, this.#parts.heartbeat(driver.slot) / 1000n));
	}

	/** The clock that is subtracted from itself has 32 bits. */
	#report({ id }: OpenShard, to: number, unattendedUs: number): void {
		const unattendedMs = Math.round((unattendedUs >>> 0) / 100) / 10;
		this.#parts.log.info({ shard: id, to, unattendedMs }, "shard of a dead worker was handed over");
	}

	/** One step at a time, and nobody succeeds to the shard meanwhile. */
	async #inTurn<Result>(shard: OpenShard, step: () => Promise<Result>): Promise<Result> {
		const done = shard.turn.then(async () => {
			shard.moving = true;
			try {
				await this.#succession.withdraw(shard);
				return await step();
			} finally {
				shard.moving = false;
				this.arrange();
			}
		});
		shard.turn = done.then(
			() => {},
			() => {},
		);
		return await done;
	}
}
