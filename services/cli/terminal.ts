import { createColors } from "picocolors";

export type Colors = ReturnType<typeof createColors>;

/** Where a command writes: answers to stdout, everything about them to stderr. */
export interface Terminal {
	/** Is stdout a terminal? */
	readonly interactive: boolean;
	readonly colors: Colors;
	/** Characters a line of stdout holds; undefined: no terminal, no limit. */
	readonly columns: number | undefined;
	/** Writes to stdout and resolves when it is out. */
	write(text: string): Promise<void>;
	/** One line to stderr. */
	note(line: string): void;
	/** A line on stderr that the next one replaces; nothing unless stderr is a terminal. Empty: erase it. */
	progress(line: string): void;
}

export function openTerminal(env: Record<string, string | undefined>): Terminal {
	const interactive = process.stdout.isTTY === true;
	// picocolors' own choice also colours pipes in CI; the contract says terminals only.
	const colored = interactive && !env["NO_COLOR"] && env["TERM"] !== "dumb";
	const erase = process.stderr.isTTY === true ? "\r\x1b[K" : "";
	let progressing = false;
	return {
		interactive,
		colors: createColors(colored),
		columns: interactive ? process.stdout.columns : undefined,
		write: (text) =>
			new Promise((resolve, reject) => {
				process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
			}),
		note(line) {
			process.stderr.write(`${progressing ? erase : ""}${line}\n`);
			progressing = false;
		},
		progress(line) {
			if (erase === "" || (line === "" && !progressing)) return;
			process.stderr.write(erase + line);
			progressing = line !== "";
		},
	};
}
