import { readFileSync } from "node:fs";
import { exitStatus, hasEnded, signalProcess } from "@sluice/dataplane/process";
import { closeDescriptor } from "@sluice/dataplane/supervisor";
import { signalName, type WorkerProcess } from "../worker-processes/worker-process.ts";

/** Nobody tells of the end of another's child; its channel, which closes with it, is heard at once. */
const LOOK_EACH_MS = 25;
/** The keeper waits for it at once; its successor does not wait for a keeper that doesn't. */
const STATUS_LOOKS = 8;
const UNKNOWN_END = "ended";

/** Undefined when it is gone already. */
export function pidOf(pidfd: number): number | undefined {
	const pid = Number(/^Pid:\s*(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, "utf8"))?.[1]);
	return pid > 0 && !hasEnded(pidfd) ? pid : undefined;
}

/** "exit 1" or "SIGKILL", as of a child of ours; undefined: ask again. */
function endOf(pidfd: number): string | undefined {
	const status = exitStatus(pidfd);
	if (status === "pending") return undefined;
	if (status === undefined) return UNKNOWN_END;
	const signal = status & 0x7f;
	return signal === 0 ? `exit ${status >> 8}` : signalName(signal);
}

/** One that ended before anybody could watch it; the keeper has usually been told. */
export function endBefore(pidfd: number): string {
	return endOf(pidfd) ?? UNKNOWN_END;
}

/** A worker that another supervisor started. Takes the descriptor. Its parent is the keeper. */
export function adoptProcess(pidfd: number, pid: number, onExit: (how: string) => void): WorkerProcess {
	let ended = false;
	let looks = 0;
	const watch = setInterval(() => {
		if (!hasEnded(pidfd)) return;
		const how = endOf(pidfd);
		looks += 1;
		if (how === undefined && looks < STATUS_LOOKS) return;
		clearInterval(watch);
		ended = true;
		closeDescriptor(pidfd);
		onExit(how ?? UNKNOWN_END);
	}, LOOK_EACH_MS);
	return {
		pid,
		kill: () => {
			if (!ended) signalProcess(pidfd, "SIGKILL");
		},
	};
}
