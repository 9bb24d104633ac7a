import { createColors } from "picocolors";
import { CommandFailure, exitCodes } from "./failure.ts";
import { crop } from "./format/crop.ts";

export type Colors = ReturnType<typeof createColors>;

/** Where a command writes: answers to stdout, everything about them to stderr. */
export interface Terminal {
	/** Is stdout a terminal? */
	readonly interactive: boolean;
	readonly colors: Colors;
	/** Characters a line of stdout holds; undefined: no terminal, no limit. */
	readonly columns: number | undefined;
	/** Writes to stdout and resolves when it is out. A terminal gets nothing that could steer it but colours. */
	write(text: string): Promise<void>;
	/** Begins a new picture: erases a terminal and shows what fits, leaves an empty line elsewhere. */
	redraw(text: string): Promise<void>;
	/** One line to stderr, with nothing that could steer a terminal or look like a further line. */
	note(line: string): void;
	/** A line on stderr that the next one replaces; nothing unless stderr is a terminal. Empty: erase it. */
	progress(line: string): void;
}

const HOME_AND_CLEAR = "\x1b[H\x1b[J";

export function openTerminal(env: Record<string, string | undefined>): Terminal {
	const interactive = process.stdout.isTTY === true;
	// picocolors' own choice also colours pipes in CI; the contract says terminals only.
	const colored = interactive && !env["NO_COLOR"] && env["TERM"] !== "dumb";
	const erase = process.stderr.isTTY === true ? "\r\x1b[K" : "";
	let progressing = false;
	const send = (text: string) =>
		new Promise<void>((resolve, reject) => {
			process.stdout.write(text, (error) => (error ? reject(unwritten(error)) : resolve()));
		});
	return {
		interactive,
		colors: createColors(colored),
		columns: interactive ? process.stdout.columns : undefined,
		write: (text) => send(interactive ? printable(text) : text),
		redraw(text) {
			if (!interactive) return send(`${text}\n`);
			const { columns, rows } = process.stdout;
			return send(HOME_AND_CLEAR + crop(printable(text), { columns, rows }));
		},
		note(line) {
			process.stderr.write(`${progressing ? erase : ""}${printable(oneLine(line))}\n`);
			progressing = false;
		},
		progress(line) {
			if (erase === "" || (line === "" && !progressing)) return;
			process.stderr.write(erase + line);
			progressing = line !== "";
		},
	};
}

/** Whoever reads a pipe may have seen enough: main() knows that by its code. */
function unwritten(error: NodeJS.ErrnoException): Error {
	if (error.code === undefined || error.code === "EPIPE") return error;
	return new CommandFailure(
		exitCodes.failed,
		`standard output cannot be written (${error.code}): what is there is not all; make room there, or send it elsewhere`,
		{ cause: error },
	);
}

/**
 * Hosts say why they wait, and what they say must not steer a terminal, conceal what follows or turn its
 * order; the colours that lists have and line ends stay.
 */
export function printable(text: string): string {
	return text.replace(
		// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
		/(\x1b\[(?:1|22|3[1239])m|\n)|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
		(_, kept?: string) => kept ?? "\u{fffd}",
	);
}

/** A host's word, such as an interface's name, must not look like a line of its own. */
export function oneLine(text: string): string {
	return text.replaceAll("\n", "\u{fffd}");
}
