import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { errorText } from "@sluice/lib/errors";
import type { Logger } from "./logger.ts";

const NICE = -5;
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
