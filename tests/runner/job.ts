// Runs one program of a suite to its end, whatever it does: output to a file, a limit on its time,
// and nothing left of it afterwards.

import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

const LIMIT_MS = 15 * 60_000;
/** How long a program may take to clean up after SIGTERM. */
const GRACE_MS = 10_000;

export interface JobResult {
	exitCode: number | null;
	signal: string | null;
	timedOut: boolean;
	output: string;
}

const running = new Set<Bun.Subprocess>();
let stopping = false;

/** True from the moment that the user interrupted the run. */
export function isStopping(): boolean {
	return stopping;
}

/** Ends every running program and lets no other start. */
export function stopAll(): void {
	stopping = true;
	for (const job of running) end(job);
}

/** Each job leads a process group of its own, which the terminal's Ctrl-C does not reach: this does. */
function signalGroup(job: Bun.Subprocess, signal: "SIGTERM" | "SIGKILL"): void {
	try {
		process.kill(-job.pid, signal);
	} catch {
		// The group is gone.
	}
}

function end(job: Bun.Subprocess): void {
	signalGroup(job, "SIGTERM");
	const last = setTimeout(() => signalGroup(job, "SIGKILL"), GRACE_MS);
	job.exited.finally(() => clearTimeout(last));
}

/**
 * The command line that runs `argv` in PID and mount namespaces of its own: whatever a test leaves
 * behind when it crashes or hangs (a relay, a nats-server, named network namespaces) ends with it.
 * bash is PID 1 there and reaps orphans, which would otherwise look alive as zombies.
 */
export function contained(argv: readonly string[]): string[] {
	const script = 'mkdir -p /run/netns && mount -t tmpfs netns /run/netns && { "$@"; exit $?; }';
	return [
		...["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"],
		...["bash", "-c", script, "test", ...argv],
	];
}

/** Runs argv in `cwd`. Never throws: a program that cannot start has failed and says why. */
export async function runJob(argv: readonly string[], cwd: string): Promise<JobResult> {
	const folder = await mkdtemp(join(tmpdir(), "sluice-test-"));
	const log = join(folder, "output");
	try {
		// To a file, not a pipe: a pipe stays open as long as anything the test left behind. Both streams
		// append to one description of it, or each would write over the other.
		const sink = openSync(log, "a");
		const job = Bun.spawn([...argv], { cwd, stdio: ["ignore", sink, sink], detached: true });
		closeSync(sink);
		running.add(job);
		let timedOut = false;
		const limit = setTimeout(() => {
			timedOut = true;
			end(job);
		}, LIMIT_MS);
		await job.exited;
		clearTimeout(limit);
		running.delete(job);
		signalGroup(job, "SIGKILL");
		return {
			exitCode: job.exitCode,
			signal: job.signalCode?.toString() ?? null,
			timedOut,
			output: await readFile(log, "utf8"),
		};
	} catch (error) {
		return { exitCode: null, signal: null, timedOut: false, output: String(error) };
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

/** How a program ended, for the reader: "exit code 3", "SIGSEGV", "still running after 15 minutes". */
export function describeEnd({ exitCode, signal, timedOut }: JobResult): string {
	if (timedOut) return `still running after ${LIMIT_MS / 60_000} minutes and ended`;
	if (signal !== null) return signal;
	// A shell in between reports its child's signal as 128 + its number.
	const name = Object.entries(constants.signals).find(([, number]) => 128 + number === exitCode)?.[0];
	return name ?? `exit code ${exitCode}`;
}
