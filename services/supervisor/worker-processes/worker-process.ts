import { inheritedEnvironment } from "@sluice/lib/inherited-environment";
import { adjustmentWhileStarting } from "../priority.ts";

export interface WorkerProcessOptions {
	/** The Bun binary and the bundle, where the worker's user can read them. */
	readonly bun: string;
	readonly bundle: string;
	readonly stageDir: string;
	readonly user: string;
	/** One JSON value, written to standard input. */
	readonly config: unknown;
	/** Held by whoever relays on this host; undefined: nobody asked for that. */
	readonly lock: number | undefined;
	/** "SIGKILL" or "exit 1". */
	readonly onExit: (how: string) => void;
}

export interface WorkerProcess {
	readonly pid: number;
	kill(): void;
}

/**
 * Starts a worker as its own user with no capability at all, and none to be had:
 * no new privileges, empty bounding set. It outlives the supervisor, so its log goes
 * where the supervisor's goes. Its configuration holds a credential, so it travels on
 * standard input.
 */
export function startWorkerProcess(options: WorkerProcessOptions): WorkerProcess {
	const { bun, bundle, stageDir, user, config, lock, onExit } = options;
	const child = Bun.spawn({
		cmd: [
			"nice",
			`--adjustment=${adjustmentWhileStarting()}`,
			...privilegeDrop(user),
			bun,
			"--no-install",
			"--no-env-file",
			"--config=/dev/null",
			bundle,
		],
		cwd: stageDir,
		env: environment(),
		stdio: ["pipe", "ignore", "inherit", ...(lock === undefined ? [] : [lock])],
		onExit: (_child, code, signal) => onExit(signal === null ? `exit ${code}` : signalName(signal)),
	});
	child.stdin.write(`${JSON.stringify(config)}\n`);
	child.stdin.end();
	return { pid: child.pid, kill: () => child.kill("SIGKILL") };
}

function privilegeDrop(user: string): string[] {
	return [
		"setpriv",
		`--reuid=${user}`,
		`--regid=${user}`,
		"--clear-groups",
		"--no-new-privs",
		"--bounding-set=-all",
		"--inh-caps=-all",
	];
}

function environment(): Record<string, string> {
	const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin" } = process.env;
	return { PATH, ...inheritedEnvironment() };
}

/** Bun reports a name or a number. */
export function signalName(signal: string | number): string {
	if (typeof signal === "string") return signal;
	const names: Readonly<Record<number, string>> = {
		6: "SIGABRT",
		9: "SIGKILL",
		11: "SIGSEGV",
		15: "SIGTERM",
	};
	return names[signal] ?? `signal ${signal}`;
}
