import { readdirSync, readFileSync } from "node:fs";
import { until } from "./until.ts";

/** By the kernel's word. */
export function handlesSignal(pid: number, signal: number): boolean {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	const caught = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
	return ((caught >> BigInt(signal - 1)) & 1n) === 1n;
}

/**
 * Stops a process until SIGCONT. kill() returns before its threads stand: on a busy machine one that runs could
 * still answer what is asked right after it.
 */
export async function standStill(pid: number): Promise<void> {
	// 0 would be whoever tests.
	if (!(pid > 0)) throw new Error(`there is no process ${pid}`);
	process.kill(pid, "SIGSTOP");
	await until(() => readdirSync(`/proc/${pid}/task`).every((thread) => stateOf(pid, thread) === "T"));
}

/** undefined: it ended after it was listed. */
function stateOf(pid: number, thread: string): string | undefined {
	try {
		return /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"))?.[1];
	} catch {
		return undefined;
	}
}
