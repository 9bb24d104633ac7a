import { existsSync } from "node:fs";
import { REFUSED_EXIT_CODE } from "@sluice/lib/exit-codes";
import { inheritedEnvironment } from "@sluice/lib/inherited-environment";
import { Backoff } from "./backoff.ts";
import { descendantsOf, endOrphans } from "./descendants.ts";
import { readLines } from "./lines.ts";
import { type LogRecord, parseRecord, wrapLine } from "./log-line.ts";
import type { KeeperLog, LogStream } from "./log-stream.ts";
import { setTimerSlack } from "./timer-slack.ts";
import { within } from "./within.ts";

export interface ChildSpec {
	readonly name: string;
	readonly argv: readonly string[];
	readonly cwd: string;
	/** Written as the first line of standard input, which then stays open; absent: no standard input. */
	readonly configLine?: string;
	/** Before this, a started process gets no configuration: it loads meanwhile, and waits. */
	readonly configAfter?: Promise<void>;
	/** Becomes the child's descriptor 3. */
	readonly fd?: number;
	/** Another `up` may begin only when it is closed: becomes the descriptor 4. */
	readonly lockFd?: number;
	/** Become the descriptors from FIRST_GIVEN_FD on. */
	readonly givenFds?: readonly number[];
	/** Beside what each child has. */
	readonly environment?: Readonly<Record<string, string>>;
	/** See setTimerSlack(). */
	readonly timerSlackNs?: number;
	/** Turns a line that is no JSON into a record. */
	readonly readLine?: (line: string, nowMs: number) => LogRecord;
	readonly isReady: (record: LogRecord) => boolean;
	/** Called with each record of its. */
	readonly onRecord?: (record: LogRecord) => void;
	/** Started again and again though it never served: the others do their work without it. */
	readonly neverHopeless?: boolean;
	/** For what keeps a process of its own: the record of that one's death, and how it died. */
	readonly innerDeath?: (record: LogRecord) => string | undefined;
	/** Before it is started again: what can be done about why it died. */
	readonly onDeath?: (how: string, log: KeeperLog) => void;
}

/** After its standard streams, `fd` and `lockFd`. */
export const FIRST_GIVEN_FD = 5;

/** Deaths before it was ever ready after which a start is hopeless. */
const HOPELESS_AFTER = 4;

/** No secret ever stands in it: other processes of the same user can read an environment. */
const ENVIRONMENT = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" };

const LAST_WORDS_MS = 200;

/** How long the descendants of a killed process may take to notice that it is gone. */
const ORPHAN_GRACE_MS = 1000;

/** It was told that it may not: another start would end in the same way. */
export class Refused extends Error {}

type Process = Bun.Subprocess<"pipe" | "ignore", "ignore", "pipe">;

/** One process of `up`: started, its log merged, started again when it dies, stopped. */
export class Child {
	readonly #spec: ChildSpec;
	readonly #stream: LogStream;
	readonly #log: KeeperLog;
	readonly #host: string;
	readonly #backoff = new Backoff();
	readonly #ready = Promise.withResolvers<void>();
	#everReady = false;
	#deathsBeforeReady = 0;
	#process: Process | undefined;
	#restart: Timer | undefined;
	#stopping = false;
	#lastError = "";

	constructor(spec: ChildSpec, host: string, stream: LogStream, log: KeeperLog) {
		this.#spec = spec;
		this.#host = host;
		this.#stream = stream;
		this.#log = log;
		// Whoever starts it may look at `ready` later than it fails.
		this.#ready.promise.catch(() => {});
	}

	get name(): string {
		return this.#spec.name;
	}

	/** Resolves when it serves for the first time; rejects when it is hopeless, saying why in one line. */
	get ready(): Promise<void> {
		return this.#ready.promise;
	}

	get isReady(): boolean {
		return this.#everReady;
	}

	start(): void {
		const { argv, cwd, configLine, fd, lockFd, givenFds = [], environment, timerSlackNs } = this.#spec;
		const startedAt = performance.now();
		let child: Process;
		try {
			child = Bun.spawn([...argv], {
				cwd,
				env: { ...ENVIRONMENT, ...inheritedEnvironment(), ...environment },
				stdio: [
					configLine === undefined ? "ignore" : "pipe",
					"ignore",
					"pipe",
					fd ?? "ignore",
					lockFd ?? "ignore",
					...givenFds,
				],
				// The terminal's Ctrl-C is for the keeper, which stops all in order.
				detached: true,
			}) as Process;
		} catch (error) {
			this.#ended(`cannot be started (${whyNotStarted(cwd, error)})`, 0);
			return;
		}
		this.#process = child;
		if (timerSlackNs !== undefined) setTimerSlack(child.pid, timerSlackNs);
		void this.#configure(child);
		const drained = readLines(child.stderr, (line) => this.#take(line)).catch(() => {});
		void child.exited.then(async () => {
			// Its last words come first. A grandchild may hold the pipe open: not for long.
			await within(LAST_WORDS_MS, drained);
			this.#process = undefined;
			const how = String(child.signalCode ?? `exit code ${child.exitCode}`);
			this.#ended(how, performance.now() - startedAt);
		});
	}

	/** To the process that runs now; none does while it is started again, which needs none. */
	signal(signal: NodeJS.Signals): void {
		this.#process?.kill(signal);
	}

	/** Asks it to end, and ends it together with its descendants when it does not in time. */
	async stop(graceMs: number, hasten: Promise<void>): Promise<void> {
		this.#stopping = true;
		clearTimeout(this.#restart);
		const child = this.#process;
		if (child === undefined) return;
		const children = descendantsOf(child.pid);
		await this.#end(child, graceMs, hasten);
		await endOrphans(children, Math.min(graceMs, ORPHAN_GRACE_MS));
	}

	/** Ends the process that runs now, if one does: another takes its place as after a death. */
	async restart(graceMs: number): Promise<void> {
		if (this.#process !== undefined) await this.#end(this.#process, graceMs);
	}

	async #end(child: Process, graceMs: number, ...hasten: Promise<void>[]): Promise<void> {
		child.kill("SIGTERM");
		await within(graceMs, child.exited, ...hasten);
		if (child.exitCode !== null || child.signalCode !== null) return;
		this.#log.warn(`${this.name} did not stop in time and is killed`, { pid: child.pid });
		child.kill("SIGKILL");
		await child.exited;
	}

	async #configure(child: Process): Promise<void> {
		const { configLine, configAfter } = this.#spec;
		if (configLine === undefined || typeof child.stdin !== "object") return;
		await configAfter?.catch(() => {});
		try {
			child.stdin.write(`${configLine}\n`);
			await child.stdin.flush();
		} catch {
			// It died before it read: its end is reported elsewhere.
		}
	}

	#take(line: string): void {
		const now = Date.now();
		const parsed = parseRecord(line);
		const record = parsed ?? this.#spec.readLine?.(line, now) ?? wrapLine(this.name, this.#host, line, now);
		if (parsed === undefined) this.#stream.record(record);
		else this.#stream.pass(line);
		if (record.level === "error" || record.level === "fatal" || record.facility === "stderr") {
			this.#lastError =
				typeof record["error"] === "string" ? `${record.msg}: ${record["error"]}` : record.msg;
		}
		if (!this.#everReady && this.#spec.isReady(record)) {
			this.#everReady = true;
			this.#ready.resolve();
		}
		this.#spec.onRecord?.(record);
		const how = this.#spec.innerDeath?.(record);
		if (how !== undefined && !this.#stopping) this.#isHopelessAfter(how);
	}

	#isHopelessAfter(how: string): boolean {
		if (this.#everReady) return false;
		this.#deathsBeforeReady += 1;
		const patient = this.#deathsBeforeReady < HOPELESS_AFTER || this.#spec.neverHopeless;
		const refused = how === `exit code ${REFUSED_EXIT_CODE}`;
		if (patient && !refused) return false;
		const why = this.#lastError === "" ? how : this.#lastError;
		const text = `${this.name} does not start: ${why}`;
		this.#ready.reject(refused ? new Refused(text) : new Error(text));
		return true;
	}

	#ended(how: string, ranMs: number): void {
		if (this.#stopping || this.#isHopelessAfter(how)) return;
		this.#spec.onDeath?.(how, this.#log);
		const waitMs = this.#backoff.afterExit(ranMs);
		this.#log.warn(`${this.name} ended, it is started again`, { how, ranMs: Math.round(ranMs), waitMs });
		this.#restart = setTimeout(() => this.start(), waitMs);
	}
}

/** A working directory that is missing is told as if the program were. */
function whyNotStarted(cwd: string, error: unknown): string {
	if (!existsSync(cwd)) return `there is no ${cwd}`;
	return error instanceof Error ? error.message : String(error);
}
