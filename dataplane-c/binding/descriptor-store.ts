/**
 * What outlives the supervisor: descriptors that its parent keeps, in systemd's
 * conventions (sd_notify, sd_listen_fds). What is refused is thrown as a DataplaneError.
 */
import * as check from "./check.ts";
import { succeed, supervisorSymbols } from "./library.ts";
import { closeDescriptor } from "./supervisor.ts";

/** Of one message: the kernel's limit. */
export const NOTIFY_MAX_DESCRIPTORS = 253;
const NOTIFY_MAX_BYTES = 4096;
const FIRST_LISTEN_FD = 3;

const noDescriptors = new Int32Array(1);

/**
 * Sends assignments ("FDSTORE=1", …) with descriptors, which stay the caller's too.
 * False when nobody asked for any (no NOTIFY_SOCKET). Once it returned true, the
 * kernel holds the descriptors, whatever becomes of this process.
 */
export function notify(assignments: readonly string[], fds: readonly number[] = []): boolean {
	const text = Buffer.from(assignments.join("\n"));
	check.within(text.length, "length of the message", 1, NOTIFY_MAX_BYTES);
	check.within(fds.length, "number of descriptors", 0, NOTIFY_MAX_DESCRIPTORS);
	for (const fd of fds) check.fd(fd, "fd");
	const result = supervisorSymbols().sluice_notify_send(
		text,
		text.length,
		fds.length > 0 ? Int32Array.from(fds) : noDescriptors,
		fds.length,
	);
	return succeed(result, "notify the keeper") === 1;
}

/**
 * Resolves when all that notify() sent before has been done, or nobody is left to do it: it may
 * take for ever. Throws at once, EAGAIN when there is no room for the question now.
 */
export async function barrier(): Promise<void> {
	const answer = succeed(supervisorSymbols().sluice_notify_barrier(), "ask the keeper");
	try {
		for await (const _ of Bun.file(answer).stream());
	} finally {
		// Bun reads from a duplicate and closes only that.
		closeDescriptor(answer);
	}
}

/** The descriptors that this process was started with, now CLOEXEC. Before anything is started. */
export function listenDescriptors(): number[] {
	const count = succeed(supervisorSymbols().sluice_listen_fds(), "take over descriptors");
	return Array.from({ length: count }, (_, index) => FIRST_LISTEN_FD + index);
}

/** Empty memory that grows as it is written (pwrite), to be stored. */
export function createMemory(): number {
	return succeed(supervisorSymbols().sluice_memory_create(), "create memory");
}
