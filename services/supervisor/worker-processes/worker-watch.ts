import type { HangsEvent } from "@sluice/dataplane/events";
import type { WorkerChannel } from "./worker-channel.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** A worker, as far as it tells whether it hangs; looked at again later. */
export interface WatchedWorker {
	readonly slot: number;
	readonly process: Pick<WorkerProcess, "pid"> | undefined;
	readonly startedAtMs: number;
	/** The process has said hello before. */
	readonly hadChannel: boolean;
	readonly channel: WorkerChannel | undefined;
}

export interface WorkerWatchOptions {
	/** Moves as long as the worker's packet thread works. */
	readonly heartbeat: (slot: number) => bigint;
	/** By a signal; each stop of a process is another number. Undefined: it is not stopped. */
	readonly stopOf: (pid: number) => number | undefined;
	/** It is to be ended, and why. */
	readonly onHanging: (slot: number, why: string) => void;
}

/** A worker that has not said hello by then never will. */
const HELLO_LIMIT_MS = 15_000;
/** Commands take a batch at most; a worker that is silent for this long hangs. */
const ANSWER_LIMIT_MS = 3_000;
/** Between two looks at deadlines, a second apart: who looks stood still, and answers may lie unread. */
const STOOD_STILL_MS = 2_500;

/** Who traces it, or takes its stacks, stops it for less; longer, and its rings fill. */
const BRIEF_STOP_MS = 10;

/** Which workers hang: those that are silent, and those whose packet thread does nothing. */
export class WorkerWatch {
	readonly #options: WorkerWatchOptions;
	#lookedAtMs: number | undefined;

	constructor(options: WorkerWatchOptions) {
		this.#options = options;
	}

	/**
	 * Its packet thread does not work; told again and again. Who looks comes before all others, we don't: by the
	 * time that we run, one that only waited for its core has run too.
	 */
	hangs(worker: WatchedWorker, { connection, stopped, heartbeat }: HangsEvent): void {
		if (this.#options.heartbeat(worker.slot) !== heartbeat) return;
		if (stopped) this.#endUnlessBrief(worker, connection);
		else this.#options.onHanging(worker.slot, "its packet thread stands still");
	}

	/** Finds those that don't answer; to be called about each second. */
	look(workers: readonly WatchedWorker[], nowMs: number): void {
		const stoodStill = nowMs - (this.#lookedAtMs ?? nowMs) > STOOD_STILL_MS;
		this.#lookedAtMs = nowMs;
		if (stoodStill) return;
		for (const { slot, process, startedAtMs, hadChannel, channel } of workers) {
			if (process === undefined) continue;
			// One that closed its channel said hello long ago, and is saying its last words.
			if (!hadChannel && nowMs - startedAtMs > HELLO_LIMIT_MS) {
				this.#options.onHanging(slot, "it did not connect");
			} else if ((channel?.oldestMs(nowMs) ?? 0) > ANSWER_LIMIT_MS) {
				this.#options.onHanging(slot, "it does not answer");
			}
		}
	}

	/** Its heart does not tell: one that idles, and goes on, need not beat for 500 ms. */
	#endUnlessBrief(worker: WatchedWorker, connection: number): void {
		const { pid } = worker.process ?? {};
		const stop = pid === undefined ? undefined : this.#options.stopOf(pid);
		if (pid === undefined || stop === undefined) return;
		setTimeout(() => {
			if (worker.channel?.connection !== connection || this.#options.stopOf(pid) !== stop) return;
			this.#options.onHanging(worker.slot, "it was stopped");
		}, BRIEF_STOP_MS).unref();
	}
}
