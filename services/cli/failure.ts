import type { CommanderError } from "commander";

/** What the process answers to its shell. */
export const exitCodes = {
	done: 0,
	/** Refused, failed or timed out; any bad value included. */
	failed: 1,
	/** Unknown command or flag, missing argument. */
	usage: 2,
	unreachable: 3,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A failure with its exit code; `message` is one line: what is wrong, and after a colon what to do. */
export class CommandFailure extends Error {
	override readonly name = "CommandFailure";
	constructor(
		readonly exitCode: ExitCode,
		message: string,
		options?: ErrorOptions,
	) {
		super(message, options);
	}
}

/** A value that does not parse: what was given, and what was expected. */
export function badValue(given: string, expected: string, options?: ErrorOptions): CommandFailure {
	return new CommandFailure(exitCodes.failed, `${given}: expected ${expected}`, options);
}

/** Why a file that somebody named was not read, to follow its name. */
export function whyUnread(thrown: unknown): string {
	const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
	if (code === "ENOENT") return "does not exist";
	if (code === "EISDIR") return "is a folder";
	return `cannot be read (${oneLine(String(code ?? thrown))})`;
}

export interface Failure {
	exitCode: ExitCode;
	/** Without the leading "sluice: ". */
	line: string;
}

/** Turns whatever a command threw into one line and an exit code. */
export function describeFailure(thrown: unknown): Failure {
	if (thrown instanceof CommandFailure) return { exitCode: thrown.exitCode, line: oneLine(thrown.message) };
	if (!(thrown instanceof Error)) return { exitCode: exitCodes.failed, line: oneLine(String(thrown)) };
	const code = "code" in thrown ? thrown.code : undefined;
	// SluiceError by its shape: importing it here would load the library at every start.
	if (thrown.name === "SluiceError") {
		const exitCode = code === "unavailable" ? exitCodes.unreachable : exitCodes.failed;
		return { exitCode, line: oneLine(thrown.message) };
	}
	return {
		exitCode: exitCodes.failed,
		line: `${oneLine(thrown.message)}: run it again with --debug to see where`,
	};
}

/** Commander's own complaint, in our words. `help` is the command whose help explains more. */
export function describeUsage(error: CommanderError, help: string): Failure {
	const complaint = oneLine(error.message.replace(/^error: /, "").replaceAll("'", "")).replace(/\.$/, "");
	const similar = /^(.*?) ?\(Did you mean (.*)\?\)$/.exec(complaint);
	if (similar) return { exitCode: exitCodes.usage, line: `${similar[1]}: did you mean ${similar[2]}?` };
	return { exitCode: exitCodes.usage, line: `${complaint}: see ${help} --help` };
}

function oneLine(text: string): string {
	return text.replace(/\s*[\n\p{Cc}]+\s*/gu, " ").trim();
}
