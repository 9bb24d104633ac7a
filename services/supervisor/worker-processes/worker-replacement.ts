import { SluiceError } from "@sluice/lib/errors";
import type { Logger } from "../logger.ts";
import type { Fleet, WorkerStatus } from "./fleet.ts";
import type { WorkerChannel } from "./worker-channel.ts";

export interface WorkerReplacementOptions {
	readonly host: string;
	readonly fleet: Pick<Fleet, "drain" | "statuses">;
	/** Others take what draining workers drive; resolves when that is done or cannot be. */
	readonly vacate: () => Promise<void>;
	/** It ends between two batches. */
	readonly stop: (channel: WorkerChannel) => Promise<void>;
	readonly log: Logger;
}

export interface Replaced {
	readonly worker: WorkerStatus;
	readonly formerPid: number;
	readonly tookMs: number;
}

/** A worker ends in a second, and its successor runs in less than one, unless the machine is busy. */
const REPLACED_LIMIT_MS = 10_000;
const LOOK_MS = 5;

/**
 * Replaces a worker that runs by a new process, and loses nothing: others take its shards
 * between two batches, or its rings hold what comes; RUNNING means that the successor has
 * them back. One at a time, and only while all others run.
 */
export class WorkerReplacement {
	readonly #options: WorkerReplacementOptions;
	#busyWith: number | undefined;

	constructor(options: WorkerReplacementOptions) {
		this.#options = options;
	}

	async replace(slot: number): Promise<Replaced> {
		const { log } = this.#options;
		const former = this.#admit(slot);
		const startedMs = performance.now();
		this.#busyWith = slot;
		try {
			log.info({ worker: slot, pid: former.pid }, "worker is to be replaced");
			await this.#end(slot);
			const worker = await this.#successor(former, startedMs + REPLACED_LIMIT_MS);
			const tookMs = Math.round(performance.now() - startedMs);
			log.info({ worker: slot, pid: worker.pid, formerPid: former.pid, tookMs }, "worker was replaced");
			return { worker, formerPid: former.pid, tookMs };
		} finally {
			this.#busyWith = undefined;
		}
	}

	#admit(slot: number): WorkerStatus {
		const { host, fleet } = this.#options;
		const statuses = fleet.statuses();
		const former = statuses[slot];
		if (former === undefined) {
			throw new SluiceError(
				"not_found",
				`host ${host} has no worker ${slot}: it has 0 to ${statuses.length - 1}`,
			);
		}
		if (this.#busyWith !== undefined) {
			const text = `worker ${this.#busyWith} of ${host} is being replaced: try again when it runs`;
			throw new SluiceError("conflict", text);
		}
		const absent = statuses.find(({ state }) => state !== "RUNNING");
		if (absent !== undefined) {
			const text = `worker ${absent.slot} of ${host} is ${absent.state}: try again when all workers run`;
			throw new SluiceError("conflict", text);
		}
		return former;
	}

	async #end(slot: number): Promise<void> {
		const { fleet, vacate, stop } = this.#options;
		const worker = fleet.drain(slot);
		if (worker === undefined) return;
		await vacate();
		// One that ends by itself meanwhile has its successor started as well; one that hangs is killed.
		await stop(worker.channel).catch(() => {});
	}

	async #successor(former: WorkerStatus, deadlineMs: number): Promise<WorkerStatus> {
		const { host, fleet } = this.#options;
		const { slot, restarts, pid } = former;
		for (;;) {
			const now = fleet.statuses()[slot] ?? former;
			if (now.state === "RUNNING" && now.pid !== pid) return now;
			const ended = now.restarts > restarts && (now.state === "BACKOFF" || now.state === "FAILED");
			const why = ended || now.restarts > restarts + 1 ? `it ended with ${now.lastExit}` : undefined;
			if (why !== undefined || performance.now() > deadlineMs) {
				throw new SluiceError(
					"timeout",
					`the successor of worker ${slot} of ${host} does not come up, ${why ?? `it is ${now.state}`}: ` +
						"the other workers have its rings; look at the log of sluice up there",
				);
			}
			await Bun.sleep(LOOK_MS);
		}
	}
}
