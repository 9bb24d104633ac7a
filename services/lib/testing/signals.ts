import { readFileSync } from "node:fs";

/** By the kernel's word. */
export function handlesSignal(pid: number, signal: number): boolean {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	const caught = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
	return ((caught >> BigInt(signal - 1)) & 1n) === 1n;
}
