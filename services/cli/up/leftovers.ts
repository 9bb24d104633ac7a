import { readdirSync, readlinkSync, realpathSync } from "node:fs";
import { tryLock } from "./flock.ts";

/** The relay's keeper gives what it keeps eight seconds. */
const PATIENCE_MS = 10_000;
const KILLED_MS = 2_000;
const LOOK_EACH_MS = 100;

/** Whether the process has that file open; false also where it cannot be seen. */
export function hasOpen(pid: number, path: string): boolean {
	try {
		const folder = `/proc/${pid}/fd`;
		return readdirSync(folder).some((fd) => targetOf(`${folder}/${fd}`) === path);
	} catch {
		return false;
	}
}

/** Undefined: it was closed meanwhile, which says nothing of the others. */
function targetOf(link: string): string | undefined {
	try {
		return readlinkSync(link);
	} catch {
		return undefined;
	}
}

/**
 * Waits for the lock that processes have whose `up` died; they end by themselves, and after
 * 10 s they are ended. False: whoever has it is not to be seen from here.
 */
export async function outlive(fd: number, path: string, onKill: (pid: number) => void): Promise<boolean> {
	const startedMs = performance.now();
	let killed = false;
	for (;;) {
		await Bun.sleep(LOOK_EACH_MS);
		if (tryLock(fd)) return true;
		const waitedMs = performance.now() - startedMs;
		if (waitedMs > PATIENCE_MS + KILLED_MS) return false;
		if (waitedMs < PATIENCE_MS || killed) continue;
		killed = true;
		endHolders(path, onKill);
	}
}

/** All but this process that have the file open. */
export function endHolders(path: string, onKill: (pid: number) => void): void {
	for (const pid of holdersOf(realpathSync(path))) {
		onKill(pid);
		try {
			process.kill(pid, "SIGKILL");
		} catch {
			// It ended by itself.
		}
	}
}

function holdersOf(path: string): number[] {
	const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
	return pids.filter((pid) => pid !== process.pid && hasOpen(pid, path));
}
