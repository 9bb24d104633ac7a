import { CommandFailure, exitCodes } from "../failure.ts";

type Child = Bun.Subprocess<"ignore", "pipe", "pipe">;

/** A running program whose lines somebody reads. */
export interface Program {
	readonly pid: number;
	/** Resolves with the exit code. */
	readonly exited: Promise<number>;
	/** Resolves with all of stdout when the program ended. */
	readonly output: Promise<string>;
	/** The last lines of stderr, for a complaint. */
	lastWords(): string;
	signal(name: NodeJS.Signals): void;
}

export interface Listeners {
	onOutput?: (line: string) => void;
	onError?: (line: string) => void;
}

const LAST_WORDS_LIMIT = 20;
const STOP_TIMEOUT_MS = 15_000;

/** The demo's processes: each ends when the demo does, whatever way that is. */
export class Processes {
	readonly #running = new Set<Child>();
	#closed = false;

	/** Runs to the end and returns stdout. @throws CommandFailure with the program's own words. */
	async run(argv: string[]): Promise<string> {
		const program = this.start(argv);
		const [output, exitCode] = await Promise.all([program.output, program.exited]);
		if (exitCode === 0) return output;
		const words = program.lastWords() || `exit code ${exitCode}`;
		throw new CommandFailure(exitCodes.failed, `${argv.join(" ")} failed: ${words}`);
	}

	start(argv: string[], listeners: Listeners = {}): Program {
		if (this.#closed) throw new CommandFailure(exitCodes.failed, "the demo is ending");
		// In a session of its own, so that Ctrl-C reaches the demo alone, which then stops all in order.
		const child = Bun.spawn(["setpriv", "--pdeathsig", "TERM", ...argv], {
			stdio: ["ignore", "pipe", "pipe"],
			detached: true,
		});
		this.#running.add(child);
		void child.exited.then(() => this.#running.delete(child));
		const lastLines: string[] = [];
		const errorsRead = readLines(child.stderr, (line) => {
			listeners.onError?.(line);
			lastLines.push(line);
			if (lastLines.length > LAST_WORDS_LIMIT) lastLines.shift();
		});
		const lines: string[] = [];
		const outputRead = readLines(child.stdout, (line) => {
			if (listeners.onOutput) listeners.onOutput(line);
			else lines.push(`${line}\n`);
		});
		return {
			pid: child.pid,
			exited: Promise.all([child.exited, errorsRead]).then(([exitCode]) => exitCode),
			output: outputRead.then(() => lines.join("")),
			lastWords: () => lastLines.at(-1) ?? "",
			signal: (name) => child.kill(name),
		};
	}

	/** Ends what still runs, the youngest first, and waits for it; nothing can be started any more. */
	async stopAll(): Promise<void> {
		this.#closed = true;
		for (const child of Array.from(this.#running).reverse()) {
			child.kill("SIGTERM");
			const stubborn = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
			await child.exited;
			clearTimeout(stubborn);
		}
	}
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
	let rest = "";
	const decoder = new TextDecoder();
	for await (const chunk of stream) {
		const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
		rest = lines.pop() ?? "";
		for (const line of lines) onLine(line);
	}
	if (rest !== "") onLine(rest);
}
