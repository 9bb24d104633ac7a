import { readdirSync, readFileSync } from "node:fs";
import { hasEnded, openProcess, signalProcess } from "@sluice/dataplane/process";
import { closeDescriptor } from "@sluice/dataplane/supervisor";
import type { Logger } from "../logger.ts";

const KILL_LIMIT_MS = 2_000;

/**
 * Ends workers that supervisors before this one started and the keeper was not told of: it was
 * busy, or its store full. Each would go on in rings that are given to others now.
 */
export function endStrays(bundle: string, known: ReadonlySet<number>, log: Logger): void {
	const strays = siblings().filter((pid) => !known.has(pid) && argvOf(pid).includes(bundle));
	const pidfds = strays.flatMap((pid) => openProcess(pid) ?? []);
	if (pidfds.length === 0) return;
	log.warn({ pids: strays }, "workers that nobody kept are ended");
	for (const pidfd of pidfds) signalProcess(pidfd, "SIGKILL");
	const deadline = performance.now() + KILL_LIMIT_MS;
	while (pidfds.some((pidfd) => !hasEnded(pidfd)) && performance.now() < deadline) Bun.sleepSync(5);
	for (const pidfd of pidfds) closeDescriptor(pidfd);
}

/** The keeper inherits the workers of a supervisor that died: its children, as we are. */
function siblings(): number[] {
	try {
		return readdirSync(`/proc/${process.ppid}/task`).flatMap((thread) =>
			readFileSync(`/proc/${process.ppid}/task/${thread}/children`, "utf8")
				.split(" ")
				.filter(Boolean)
				.map(Number),
		);
	} catch {
		return [];
	}
}

function argvOf(pid: number): string[] {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
	} catch {
		return [];
	}
}
