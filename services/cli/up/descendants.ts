import { readdirSync, readFileSync } from "node:fs";

const POLL_MS = 10;

/** A process, told from a later one with the same pid by when it started. */
interface ProcessId {
	readonly pid: number;
	readonly startTime: string;
}

/** @param threads those of the process; one that ended meanwhile hides nothing of the others. */
export function descendantsOf(pid: number, threads: readonly string[] = threadsOf(pid)): ProcessId[] {
	return threads
		.flatMap((thread) => childrenOf(pid, thread))
		.map((child) => ({ pid: child, startTime: startTimeOf(child) }))
		.flatMap((child) => [child, ...descendantsOf(child.pid)]);
}

/** None: it ended meanwhile. */
function threadsOf(pid: number): string[] {
	try {
		return readdirSync(`/proc/${pid}/task`);
	} catch {
		return [];
	}
}

function childrenOf(pid: number, thread: string): number[] {
	try {
		const pids = readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").trim();
		return pids === "" ? [] : pids.split(" ").map(Number);
	} catch {
		return [];
	}
}

/** Empty when there is no such process, or only its zombie. */
function startTimeOf(pid: number): string {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		// After the name, which may hold anything: state is field 3, the start time field 22.
		const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		return fields[0] === "Z" ? "" : (fields[19] ?? "");
	} catch {
		return "";
	}
}

/** Waits for them, and kills those that are left. */
export async function endOrphans(orphans: readonly ProcessId[], graceMs: number): Promise<void> {
	const deadline = performance.now() + graceMs;
	const alive = () =>
		orphans.filter(({ pid, startTime }) => startTime !== "" && startTimeOf(pid) === startTime);
	while (alive().length > 0 && performance.now() < deadline) {
		await Bun.sleep(POLL_MS);
	}
	for (const { pid } of alive()) {
		try {
			process.kill(pid, "SIGKILL");
		} catch {
			// It ended by itself.
		}
	}
}
