#!/usr/bin/env bun
import { type Command, CommanderError } from "commander";
import { commandLine } from "./command-line.ts";
import { commandIndex, findTool, runTool } from "./commands/tool.ts";
import { describeFailure, describeUsage, exitCodes, type Failure } from "./failure.ts";
import { resolveGlobalFlags } from "./global-flags.ts";
import { meantBy } from "./other-words.ts";
import { openTerminal } from "./terminal.ts";

/** Composition root of the command line: reads argv, runs one command, turns what it throws into an exit code. */
async function main(given: string[]): Promise<number> {
	const argv = helpAsFlag(given);
	const debug = argv.includes("--debug");
	const terminal = openTerminal(process.env);
	// The failed write itself tells; without a listener the stream would end the process in its own way.
	process.stdout.on("error", () => {});
	const program = commandLine(async (flags, body) => {
		await body({ flags: resolveGlobalFlags(flags, process.env), terminal });
	});
	try {
		const called = findTool(argv);
		if (called) return await runTool(called.tool, called.args);
		await program.parseAsync(namesCommand(program, argv) ? argv : withoutHelp(argv), { from: "user" });
		return exitCodes.done;
	} catch (error) {
		if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done;
		// Whoever read our output has seen enough: `sluice rule list | head`.
		if (isBrokenPipe(error)) return exitCodes.done;
		const failure =
			error instanceof CommanderError ? usageFailure(error, program, argv) : describeFailure(error);
		terminal.progress("");
		terminal.note(`sluice: ${failure.line}`);
		if (debug) for (const line of Bun.inspect(error).split("\n")) terminal.note(line);
		return failure.exitCode;
	}
}

/** `help rule add` is `rule add --help`. */
function helpAsFlag(argv: string[]): string[] {
	const index = commandIndex(argv);
	return argv[index] === "help" ? [...argv.toSpliced(index, 1), "--help"] : argv;
}

/** Commander would show the help of what is above an unknown command, and succeed. */
function withoutHelp(argv: string[]): string[] {
	return argv.filter((word) => word !== "--help" && word !== "-h");
}

/** False when a word stands where a command must and is none. */
function namesCommand(program: Command, argv: string[]): boolean {
	let command = program;
	for (let index = 0; index < argv.length && command.commands.length > 0; index += 1) {
		const word = argv[index] ?? "";
		if (word.startsWith("-")) {
			if (program.options.some(({ long, required }) => long === word && required)) index += 1;
			continue;
		}
		const next = command.commands.find((sub) => sub.name() === word);
		if (!next) return word === "help";
		command = next;
	}
	return true;
}

function usageFailure(error: CommanderError, program: Command, argv: string[]): Failure {
	const command = findCommand(program, argv);
	const path = pathOf(command);
	const unknown = /unknown command '(.*?)'/.exec(error.message)?.[1];
	const meant = unknown === undefined ? undefined : meantBy(unknown, command);
	if (meant !== undefined)
		return { exitCode: exitCodes.usage, line: `unknown command ${unknown}: did you mean ${meant}?` };
	if (error.code !== "commander.help") return describeUsage(error, path);
	const shown = command.createHelp().visibleCommands(command);
	const names = command.commands
		.filter((sub) => shown.includes(sub))
		.map((sub) => sub.name())
		.join(", ");
	return { exitCode: exitCodes.usage, line: `${path} needs a command: one of ${names}` };
}

function isBrokenPipe(error: unknown): boolean {
	return error instanceof Error && "code" in error && error.code === "EPIPE";
}

/** The deepest command that argv names. */
function findCommand(program: Command, argv: string[]): Command {
	let command = program;
	for (const argument of argv) {
		command = command.commands.find((sub) => sub.name() === argument) ?? command;
	}
	return command;
}

function pathOf(command: Command): string {
	return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

/** In a function, and not awaited by the module: what is kept compiled can't await outside of one (scripts/build.ts). */
async function run(): Promise<void> {
	const exitCode = await main(process.argv.slice(2));
	await new Promise<void>((resolve) => {
		process.stderr.write("", () => resolve());
	});
	// A connection that was being made when its time was over would keep the process alive.
	process.exit(exitCode);
}

void run();
