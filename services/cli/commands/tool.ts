import { constants } from "node:os";
import { besideBundle } from "../beside.ts";

const signalNumbers: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals));

/** Programs in C that take their own flags. */
export type Tool = "gen" | "recv";

/** Runs `sluice-gen` or `sluice-recv` with our terminal and answers with its exit code. */
export async function runTool(tool: Tool, args: string[]): Promise<number> {
	const child = Bun.spawn([besideBundle(`sluice-${tool}`), ...args], {
		stdio: ["inherit", "inherit", "inherit"],
	});
	// A terminal interrupts the child as well; a signal sent to us alone is passed on. The tools take two as one.
	const pass = (signal: NodeJS.Signals) => child.kill(signal);
	process.on("SIGINT", pass);
	process.on("SIGTERM", pass);
	try {
		await child.exited;
		// Bun types the signal as a name or a number; it is the name.
		if (child.signalCode !== null) return 128 + (signalNumbers.get(String(child.signalCode)) ?? 0);
		return child.exitCode ?? 1;
	} finally {
		process.off("SIGINT", pass);
		process.off("SIGTERM", pass);
	}
}

/** Global flags that take a value of their own. */
const flagsWithValue = new Set(["--data-dir", "--nats", "--credentials", "--timeout"]);

/**
 * Whether this command line is a tool's, and the arguments that are the tool's to read.
 * The tools ask no cluster: global flags but --json and --help mean nothing to them.
 */
export function findTool(argv: string[]): { tool: Tool; args: string[] } | undefined {
	const index = commandIndex(argv);
	const name = argv[index];
	if (name !== "gen" && name !== "recv") return undefined;
	const json = argv.slice(0, index).filter((word) => word === "--json");
	return { tool: name, args: [...json, ...withoutGlobalFlags(argv.slice(index + 1))] };
}

/** Where the command stands behind the flags before it. */
export function commandIndex(argv: string[]): number {
	let index = 0;
	for (; argv[index]?.startsWith("-"); index += 1) if (flagsWithValue.has(argv[index] ?? "")) index += 1;
	return index;
}

function withoutGlobalFlags(args: string[]): string[] {
	const kept: string[] = [];
	for (let index = 0; index < args.length; index += 1) {
		const word = args[index] ?? "";
		const [flag = ""] = word.split("=", 1);
		if (word === "--debug" || (flag !== word && flagsWithValue.has(flag))) continue;
		// One without its value is left for the tool to complain of.
		if (flagsWithValue.has(word) && index + 1 < args.length) index += 1;
		else kept.push(word);
	}
	return kept;
}
