import { readFileSync } from "node:fs";
import { hasEnded, signalProcess } from "@sluice/dataplane/process";
import { closeDescriptor } from "@sluice/dataplane/supervisor";
import type { WorkerProcess } from "../worker-processes/worker-process.ts";

/** Nobody tells of the end of another's child; its channel, which closes with it, is heard at once. */
const LOOK_EACH_MS = 25;

/** Undefined when it is gone already. */
export function pidOf(pidfd: number): number | undefined {
	const pid = Number(/^Pid:\s*(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, "utf8"))?.[1]);
	return pid > 0 && !hasEnded(pidfd) ? pid : undefined;
}

/** A worker that another supervisor started. Takes the descriptor. How it ends, only the keeper learns. */
export function adoptProcess(pidfd: number, pid: number, onExit: (how: string) => void): WorkerProcess {
	let ended = false;
	const watch = setInterval(() => {
		if (!hasEnded(pidfd)) return;
		clearInterval(watch);
		ended = true;
		closeDescriptor(pidfd);
		onExit("ended");
	}, LOOK_EACH_MS);
	return {
		pid,
		kill: () => {
			if (!ended) signalProcess(pidfd, "SIGKILL");
		},
	};
}
