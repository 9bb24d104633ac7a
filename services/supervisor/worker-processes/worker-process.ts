import { type LineOrigin, relayLines } from "./log-relay.ts";

export interface WorkerProcessOptions {
	/** The Bun binary and the bundle, where the worker's user can read them. */
	readonly bun: string;
	readonly bundle: string;
	readonly stageDir: string;
	readonly user: string;
	/** One JSON value, written to standard input. */
	readonly config: unknown;
	readonly origin: LineOrigin;
	readonly writeLine: (line: string) => void;
	/** "SIGKILL" or "exit 1". */
	readonly onExit: (how: string) => void;
}

export interface WorkerProcess {
	readonly pid: number;
	kill(): void;
}

/**
 * Starts a worker as its own user with no capability at all, and none to be had:
 * no new privileges, empty bounding set. It dies with the supervisor. Its
 * configuration holds a credential, so it travels on standard input.
 */
export function startWorkerProcess(options: WorkerProcessOptions): WorkerProcess {
	const { bun, bundle, stageDir, user, config, origin, writeLine, onExit } = options;
	const child = Bun.spawn({
		cmd: [
			...priority,
			...privilegeDrop(user),
			bun,
			"--no-install",
			"--no-env-file",
			"--config=/dev/null",
			bundle,
		],
		cwd: stageDir,
		env: environment(),
		stdin: "pipe",
		stdout: "ignore",
		stderr: "pipe",
		onExit: (_child, code, signal) => onExit(signal === null ? `exit ${code}` : signalName(signal)),
	});
	void relayLines(child.stderr, origin, writeLine).catch(() => {});
	// Held open: its end would tell the worker that we are gone.
	child.stdin.write(`${JSON.stringify(config)}\n`);
	child.stdin.flush();
	return { pid: child.pid, kill: () => child.kill("SIGKILL") };
}

/**
 * A worker that waits for its core lets its rings run full: before the supervisor, which
 * comes before the rest (ADR 0003). Without CAP_SYS_NICE `nice` says so and goes on as it is.
 */
const priority = ["nice", "--adjustment=-5"];

function privilegeDrop(user: string): string[] {
	return [
		"setpriv",
		"--pdeathsig=TERM",
		`--reuid=${user}`,
		`--regid=${user}`,
		"--clear-groups",
		"--no-new-privs",
		"--bounding-set=-all",
		"--inh-caps=-all",
	];
}

/** Nothing of ours but where to find programs and, in tests, the library. */
function environment(): Record<string, string> {
	const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin", SLUICE_LIB } = process.env;
	return SLUICE_LIB === undefined ? { PATH } : { PATH, SLUICE_LIB };
}

/** Bun reports a name or a number. */
function signalName(signal: string | number): string {
	if (typeof signal === "string") return signal;
	const names: Readonly<Record<number, string>> = {
		6: "SIGABRT",
		9: "SIGKILL",
		11: "SIGSEGV",
		15: "SIGTERM",
	};
	return names[signal] ?? `signal ${signal}`;
}
