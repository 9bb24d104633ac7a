import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { makeThreadRealtime } from "@sluice/dataplane/process";
import { errorText } from "@sluice/lib/errors";
import type { Priority } from "@sluice/lib/priorities";
import type { Logger } from "./logger.ts";

const NICE = -5;
const WORKER_NICE = -10;
/** As libsluice calls it. */
const PACKET_THREAD = "sluice-packets";
const GROUP_NICE = -10;
/** The kernel takes ten such changes a second from all processes together. */
const GROUP_RETRY_MS = 110;
const GROUP_ATTEMPTS = 20;

/**
 * While a dead worker's shards wait for a survivor, their rings fill. Inherited by all
 * threads and workers.
 */
export function comeBeforeOthers(log: Logger): void {
	try {
		setPriority(NICE);
	} catch (thrown) {
		log.debug(`no priority: ${errorText(thrown)}`);
	}
	groupBeforeOthers(log, GROUP_ATTEMPTS);
}

/**
 * Nice compares processes of one session only, where the kernel shares the processor out
 * between sessions first (autogroup, sched(7)): workers and supervisor have one of their
 * own with the keeper, and it has to come before others too.
 */
function groupBeforeOthers(log: Logger, attempts: number): void {
	try {
		writeFileSync("/proc/self/autogroup", String(GROUP_NICE));
	} catch (thrown) {
		const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
		if (code === "EAGAIN" && attempts > 1) {
			setTimeout(() => groupBeforeOthers(log, attempts - 1), GROUP_RETRY_MS).unref();
		} else if (code !== "ENOENT") {
			log.debug(`no priority for the session: ${errorText(thrown)}`);
		}
	}
}

/** For nice(1): a worker that starts takes no time from one that relays, and perhaps drives its rings as well. */
export function adjustmentWhileStarting(): number {
	return -getPriority();
}

/**
 * A worker that waits for its core lets its rings run full: before the supervisor, which
 * comes before the rest (ADR 0003). Real-time only the thread that relays (ADR 0131).
 */
export class WorkerPriority {
	readonly #priority: Priority;
	readonly #log: Logger;
	#refused = false;

	constructor(priority: Priority, log: Logger) {
		this.#priority = priority;
		this.#log = log;
	}

	/** All threads it has; later ones inherit the nice value. */
	raise(pid: number): void {
		for (const thread of threadsOf(pid)) {
			try {
				setPriority(thread, WORKER_NICE);
			} catch (thrown) {
				// It just ended; or no CAP_SYS_NICE.
				this.#log.debug(`no priority for a thread of worker ${pid}: ${errorText(thrown)}`);
			}
			if (this.#priority === "realtime" && nameOf(pid, thread) === PACKET_THREAD) this.#makeRealtime(thread);
		}
	}

	/** All are refused for the same reason, which is said once. */
	#makeRealtime(thread: number): void {
		try {
			makeThreadRealtime(thread);
		} catch (thrown) {
			if (this.#refused) return;
			this.#refused = true;
			this.#log.warn(
				`packet threads are as without --priority realtime (${errorText(thrown)}): give the supervisor CAP_SYS_NICE, and its control group a share of real-time (cpu.rt_runtime_us) where it needs one`,
			);
		}
	}
}

function threadsOf(pid: number): number[] {
	try {
		return readdirSync(`/proc/${pid}/task`).map(Number);
	} catch {
		// It ended already.
		return [];
	}
}

/** Empty: it ended already. */
function nameOf(pid: number, thread: number): string {
	try {
		return readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim();
	} catch {
		return "";
	}
}
