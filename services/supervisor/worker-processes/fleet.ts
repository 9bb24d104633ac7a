import type { HangsEvent } from "@sluice/dataplane/events";
import type { ConnectedWorker, Workers } from "../apply/workers.ts";
import type { Logger } from "../logger.ts";
import type { WorkerView } from "../reconcile/types.ts";
import { Backoff, RESTART_BACKOFF } from "./backoff.ts";
import type { WorkerChannel } from "./worker-channel.ts";
import type { WorkerProcess } from "./worker-process.ts";
import { type WatchedWorker, WorkerWatch, type WorkerWatchOptions } from "./worker-watch.ts";

export type WorkerState = "STARTING" | "RUNNING" | "DRAINING" | "BACKOFF" | "FAILED";

export interface WorkerStatus {
	readonly slot: number;
	readonly core: number;
	/** 0 when there is no process. */
	readonly pid: number;
	readonly state: WorkerState;
	readonly restarts: number;
	readonly lastExit: string;
}

export interface FleetOptions extends Omit<WorkerWatchOptions, "onHanging"> {
	readonly workers: number;
	readonly coreOf: (slot: number) => number;
	readonly start: (slot: number, core: number, onExit: (how: string) => void) => WorkerProcess;
	/** One that a supervisor before this one started. */
	readonly adopt?: (slot: number, onExit: (how: string) => void) => WorkerProcess | undefined;
	/**
	 * How the one ended that a supervisor before this one started; empty: that one knew.
	 * Undefined: there was none.
	 */
	readonly endedBefore?: (slot: number) => string | undefined;
	/** The worker drives a shard that a supervisor before this one gave it. */
	readonly onHolds?: (worker: ConnectedWorker, shard: number) => void;
	/** The process behind a channel touches nothing any more. Once for each. */
	readonly onEnded: (channel: WorkerChannel) => void;
	/** It said hello, and gets what is open. */
	readonly onConnected: (pid: number) => void;
	/** It holds everything that is open. */
	readonly onRunning: (worker: ConnectedWorker) => void;
	/** Something that a reconciliation or the host's record should know. */
	readonly onChange: () => void;
	readonly log: Logger;
}

interface Slot extends WatchedWorker {
	readonly core: number;
	readonly backoff: Backoff;
	process: WorkerProcess | undefined;
	/** Taken over, and has not said yet what it holds. */
	adopting: boolean;
	hadChannel: boolean;
	/** Shards that it is still to name. */
	unnamed: number;
	channel: WorkerChannel | undefined;
	/** Of the process, also when commands go to it no more. */
	lastChannel: WorkerChannel | undefined;
	state: WorkerState;
	restarts: number;
	lastExit: string;
	startedAtMs: number;
	timer: ReturnType<typeof setTimeout> | undefined;
}

/** Between the end of a worker's channel and that of its process. */
const LAST_WORDS_MS = 1_000;
/** A restart takes less; after this long without any worker its rules are not ACTIVE. */
const DOWN_AFTER_MS = 1_500;

const ADOPTED_LOOK_MS = 5;
/** ENGINE_MAX_SHARDS: who says more is no worker of ours. */
const MOST_HELD = 128;

/** The worker processes of this host: starts them, ends what hangs, starts them again. */
export class Fleet implements Workers {
	readonly #options: FleetOptions;
	readonly #slots: Slot[];
	readonly #watch: WorkerWatch;
	#stopping = false;
	#lastRunningAtMs = performance.now();

	constructor(options: FleetOptions) {
		this.#options = options;
		this.#watch = new WorkerWatch({ ...options, onHanging: (slot, why) => this.restart(slot, why) });
		this.#slots = Array.from({ length: options.workers }, (_, slot) => ({
			slot,
			core: options.coreOf(slot),
			backoff: new Backoff(RESTART_BACKOFF),
			process: undefined,
			adopting: false,
			hadChannel: false,
			unnamed: 0,
			channel: undefined,
			lastChannel: undefined,
			state: "STARTING",
			restarts: 0,
			lastExit: "",
			startedAtMs: 0,
			timer: undefined,
		}));
	}

	/** What readers were told of a slot before this supervisor began: a count must not step back. */
	resume(slotNumber: number, restarts: number, lastExit: string): void {
		const slot = this.#slots[slotNumber];
		if (slot === undefined) return;
		slot.restarts += restarts;
		if (slot.lastExit === "") slot.lastExit = lastExit;
	}

	startAll(): void {
		for (const slot of this.#slots) {
			slot.process = this.#options.adopt?.(slot.slot, (how) => this.#exited(slot, how));
			if (slot.process === undefined) {
				this.#countEnd(slot);
				this.#start(slot);
				continue;
			}
			slot.adopting = true;
			slot.startedAtMs = performance.now();
		}
	}

	/**
	 * Resolves when of every worker that was taken over it is known what it holds, or that
	 * it has ended. Those that don't say so within the time are ended.
	 */
	async adopted(limitMs: number): Promise<void> {
		const deadline = performance.now() + limitMs;
		let ended = false;
		while (this.#slots.some(({ adopting }) => adopting)) {
			if (performance.now() > deadline && !ended) {
				ended = true;
				for (const { slot, adopting } of this.#slots)
					if (adopting) this.restart(slot, "it did not come back");
			}
			await Bun.sleep(ADOPTED_LOOK_MS);
		}
	}

	/** Said hello on the channel; false when it is none of ours. */
	connect(slotNumber: number, pid: number, channel: WorkerChannel, holds = 0): boolean {
		const slot = this.#slots[slotNumber];
		if (slot === undefined || slot.process?.pid !== pid || slot.channel !== undefined) return false;
		// A channel that closes means that nobody drives its shards: it must not come back.
		if (slot.hadChannel || holds > MOST_HELD) return false;
		slot.hadChannel = true;
		slot.channel = channel;
		slot.lastChannel = channel;
		slot.unnamed = holds;
		if (holds === 0) slot.adopting = false;
		this.#options.onConnected(pid);
		this.#options.onChange();
		return true;
	}

	/** One of the shards that it drives. */
	hold(connection: number, shard: number): void {
		const slot = this.#slotAt(connection);
		if (slot?.channel === undefined || slot.unnamed === 0) return;
		this.#options.onHolds?.({ slot: slot.slot, channel: slot.channel }, shard);
		slot.unnamed -= 1;
		if (slot.unnamed > 0) return;
		slot.adopting = false;
		this.#options.onChange();
	}

	/** The channel closed; the process usually follows. */
	disconnect(connection: number): void {
		const slot = this.#slots.find((candidate) => candidate.lastChannel?.connection === connection);
		if (slot === undefined) return;
		this.#dropChannel(slot);
		this.#ended(slot);
		this.#options.onChange();
		const { process } = slot;
		if (this.#stopping || process === undefined) return;
		// It has lost its packet thread and ends by itself, with some last words; a new one can only come then.
		setTimeout(() => {
			if (slot.process === process) process.kill();
		}, LAST_WORDS_MS).unref();
	}

	acknowledge(connection: number, sequence: bigint, error: number, atUs: number): void {
		this.#slotAt(connection)?.channel?.acknowledge(sequence, error, atUs);
	}

	/** The slot of a connection, for log lines. */
	slotOf(connection: number): number | undefined {
		return this.#slotAt(connection)?.slot;
	}

	running(): readonly ConnectedWorker[] {
		return this.#slots.flatMap((slot) =>
			slot.channel !== undefined && holdsEverything(slot) ? [{ slot: slot.slot, channel: slot.channel }] : [],
		);
	}

	draining(): readonly number[] {
		return this.#slots.flatMap(({ slot, state, channel }) =>
			state === "DRAINING" && channel !== undefined ? [slot] : [],
		);
	}

	/** It is to be replaced: takes commands as before, and when it ends, its successor is started at once. */
	drain(slotNumber: number): ConnectedWorker | undefined {
		const slot = this.#slots[slotNumber];
		if (slot?.state !== "RUNNING" || slot.channel === undefined || this.#stopping) return undefined;
		slot.state = "DRAINING";
		this.#options.onChange();
		return { slot: slotNumber, channel: slot.channel };
	}

	/** Whoever can be told something. */
	reachable(): readonly ConnectedWorker[] {
		return this.#slots.flatMap(({ slot, channel }) => (channel === undefined ? [] : [{ slot, channel }]));
	}

	connected(slotNumber: number): ConnectedWorker | undefined {
		const channel = this.#slots[slotNumber]?.channel;
		return channel === undefined ? undefined : { slot: slotNumber, channel };
	}

	markRunning(slotNumber: number): void {
		const slot = this.#slots[slotNumber];
		if (slot?.channel === undefined || this.#stopping) return;
		slot.state = "RUNNING";
		this.#options.log.info(
			{
				worker: slotNumber,
				core: slot.core,
				pid: slot.process?.pid,
				afterMs: Math.round(performance.now() - slot.startedAtMs),
			},
			"worker is running",
		);
		this.#options.onRunning({ slot: slotNumber, channel: slot.channel });
		this.#options.onChange();
	}

	restart(slotNumber: number, reason: string): void {
		const slot = this.#slots[slotNumber];
		if (slot?.process === undefined) return;
		this.#options.log.error({ worker: slotNumber, pid: slot.process.pid }, `worker is restarted: ${reason}`);
		this.#dropChannel(slot);
		slot.process.kill();
	}

	views(): WorkerView[] {
		return this.#slots.map(({ slot, state, channel, unnamed }) => {
			if (channel === undefined || unnamed > 0) return { slot, phase: "absent" };
			if (state === "DRAINING") return { slot, phase: "draining" };
			return { slot, phase: state === "RUNNING" ? "running" : "connected" };
		});
	}

	statuses(): WorkerStatus[] {
		return this.#slots.map(({ slot, core, process, state, restarts, lastExit }) => ({
			slot,
			core,
			pid: process?.pid ?? 0,
			state,
			restarts,
			lastExit,
		}));
	}

	allRunning(): boolean {
		return this.#slots.every(({ state }) => state === "RUNNING");
	}

	/** For longer than a restart takes. */
	down(nowMs: number): boolean {
		if (this.running().length > 0) this.#lastRunningAtMs = nowMs;
		return nowMs - this.#lastRunningAtMs > DOWN_AFTER_MS;
	}

	/** Its packet thread does not work. One that starts has its own limit. */
	hangs(event: HangsEvent): void {
		const slot = this.#slotAt(event.connection);
		if (slot !== undefined && holdsEverything(slot)) this.#watch.hangs(slot, event);
	}

	/** Ends workers that don't answer; to be called about each second. */
	checkDeadlines(nowMs: number): void {
		this.down(nowMs);
		this.#watch.look(this.#slots, nowMs);
	}

	/** Asks every worker to stop, kills those that don't within the time. */
	async stop(ask: (channel: WorkerChannel) => Promise<void>, limitMs: number): Promise<void> {
		this.#stopping = true;
		for (const slot of this.#slots) {
			clearTimeout(slot.timer);
			if (slot.process === undefined) continue;
			slot.state = "DRAINING";
			if (slot.channel === undefined) slot.process.kill();
			else ask(slot.channel).catch(() => {});
		}
		const deadline = performance.now() + limitMs;
		while (this.#slots.some((slot) => slot.process !== undefined) && performance.now() < deadline) {
			await Bun.sleep(5);
		}
		for (const { slot, process } of this.#slots) {
			if (process === undefined) continue;
			this.#options.log.warn({ worker: slot, pid: process.pid }, "worker did not stop: killed");
			process.kill();
		}
		while (this.#slots.some((slot) => slot.process !== undefined)) await Bun.sleep(5);
	}

	#slotAt(connection: number): Slot | undefined {
		return this.#slots.find(({ channel }) => channel?.connection === connection);
	}

	/** Of a predecessor that nobody else has started again. */
	#countEnd(slot: Slot): void {
		const exit = this.#options.endedBefore?.(slot.slot);
		if (exit === undefined) return;
		slot.restarts += 1;
		slot.lastExit = exit;
		if (exit !== "") this.#options.log.warn({ worker: slot.slot, core: slot.core, exit }, "worker ended");
	}

	#start(slot: Slot): void {
		slot.startedAtMs = performance.now();
		slot.state = "STARTING";
		slot.hadChannel = false;
		try {
			slot.process = this.#options.start(slot.slot, slot.core, (how) => this.#exited(slot, how));
		} catch (thrown) {
			slot.state = "FAILED";
			slot.lastExit = thrown instanceof Error ? thrown.message : String(thrown);
			this.#options.log.error({ worker: slot.slot }, `worker cannot be started: ${slot.lastExit}`);
			this.#startLater(slot);
		}
		this.#options.onChange();
	}

	#exited(slot: Slot, how: string): void {
		const pid = slot.process?.pid;
		slot.adopting = false;
		slot.process = undefined;
		slot.lastExit = how;
		this.#dropChannel(slot);
		this.#ended(slot);
		if (!this.#stopping) this.#startAgain(slot, { worker: slot.slot, core: slot.core, pid, exit: how });
		this.#options.onChange();
	}

	#ended(slot: Slot): void {
		const { lastChannel } = slot;
		slot.lastChannel = undefined;
		if (lastChannel !== undefined) this.#options.onEnded(lastChannel);
	}

	#startAgain(slot: Slot, predecessor: object): void {
		if (slot.state === "DRAINING") {
			this.#options.log.info(predecessor, "worker is replaced");
			slot.restarts += 1;
			this.#start(slot);
			return;
		}
		slot.state = "BACKOFF";
		this.#options.log.warn(predecessor, "worker ended");
		this.#startLater(slot);
	}

	#startLater(slot: Slot): void {
		const delayMs = slot.backoff.next(performance.now() - slot.startedAtMs);
		slot.timer = setTimeout(() => {
			slot.restarts += 1;
			this.#start(slot);
		}, delayMs);
	}

	#dropChannel(slot: Slot): void {
		if (holdsEverything(slot)) this.#lastRunningAtMs = performance.now();
		if (slot.state === "RUNNING") slot.state = "BACKOFF";
		slot.channel?.close();
		slot.channel = undefined;
	}
}

/** As long as its channel is there. */
function holdsEverything({ state }: Slot): boolean {
	return state === "RUNNING" || state === "DRAINING";
}
