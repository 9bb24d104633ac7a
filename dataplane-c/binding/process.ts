/** Processes that may be somebody else's children, by descriptors that no other process can take over. */
import * as check from "./check.ts";
import { DataplaneError, errnoCode } from "./errors.ts";
import { errorText, succeed, supervisorSymbols } from "./library.ts";

const SIGNAL_NUMBERS = { SIGTERM: 15, SIGKILL: 9 } as const;

/** Undefined when there is no such process. */
export function openProcess(pid: number): number | undefined {
	const result = supervisorSymbols().sluice_process_open(check.within(pid, "pid", 1, 2 ** 22));
	return isNoProcess(result, "open process") ? undefined : result;
}

export function hasEnded(fd: number): boolean {
	return succeed(supervisorSymbols().sluice_process_has_ended(check.fd(fd, "fd")), "watch process") === 1;
}

/**
 * How it ended: a wait status. "pending" as long as its parent has not waited for it;
 * undefined: this kernel does not tell (before 6.15).
 */
export function exitStatus(fd: number): number | "pending" | undefined {
	const result = supervisorSymbols().sluice_process_exit_status(check.fd(fd, "fd"));
	if (result >= 0) return result;
	return errnoCode(-result) === "EAGAIN" ? "pending" : undefined;
}

/** One that has ended is passed over. */
export function signalProcess(fd: number, signal: keyof typeof SIGNAL_NUMBERS): void {
	isNoProcess(
		supervisorSymbols().sluice_process_signal(check.fd(fd, "fd"), SIGNAL_NUMBERS[signal]),
		`send ${signal}`,
	);
}

/** From now on it comes before everything that is not real-time. One that has ended is passed over. */
export function makeThreadRealtime(thread: number): void {
	isNoProcess(
		supervisorSymbols().sluice_thread_realtime(check.within(thread, "thread", 1, 2 ** 22)),
		"make a thread real-time",
	);
}

function isNoProcess(result: number, operation: string): boolean {
	if (result >= 0) return false;
	const error = new DataplaneError(operation, -result, errorText(-result));
	if (error.code === "ESRCH") return true;
	throw error;
}
