/** What `sluice bench` is told. */

import { refuseTemplate } from "./template.ts";

export interface Options {
	readonly quick: boolean;
	/** Empty: all. */
	readonly cases: readonly string[];
	/** Empty: all. */
	readonly peers: readonly string[];
	readonly peerCommand: string | undefined;
	/** Repetitions, and the seconds of each trial; undefined: as thorough as usual. */
	readonly runs: number | undefined;
	readonly seconds: number | undefined;
	/** Folder; undefined: one of its own in results/. */
	readonly results: string | undefined;
	/** The JSON once more, under this name. */
	readonly json: string | undefined;
}

export class BadOption extends Error {
	constructor(
		message: string,
		readonly exitCode: 1 | 2,
	) {
		super(message);
	}
}

const RUNS_MAX = 100;
const SECONDS_MIN = 0.1;
const SECONDS_MAX = 60;
const HELP = "see ./sluice bench --help";
const REPEATED = ["--case", "--peer"] as const;
const SINGLE = ["--peer-command", "--runs", "--seconds", "--results", "--json"] as const;
const WITH_VALUE: readonly string[] = [...REPEATED, ...SINGLE];

/** Each flag with its values, in both forms: --flag VALUE and --flag=VALUE. */
function readFlags(argv: readonly string[]): Map<string, string[]> {
	const given = new Map<string, string[]>();
	for (let index = 0; index < argv.length; index++) {
		const [flag = "", ...rest] = (argv[index] ?? "").split("=");
		if (flag === "--quick" && rest.length === 0) {
			given.set(flag, []);
			continue;
		}
		if (!WITH_VALUE.includes(flag)) throw new BadOption(`unknown option ${argv[index]}: ${HELP}`, 2);
		const value = rest.length > 0 ? rest.join("=") : argv[++index];
		if (value === undefined || value === "") throw new BadOption(`option ${flag} needs a value: ${HELP}`, 2);
		const values = [...(given.get(flag) ?? []), value];
		if (values.length > 1 && (SINGLE as readonly string[]).includes(flag))
			throw new BadOption(`${flag} is given twice: give it once`, 2);
		given.set(flag, values);
	}
	return given;
}

function chosen(flag: string, values: readonly string[], known: readonly string[]): readonly string[] {
	const unknown = values.find((value) => !known.includes(value));
	if (unknown !== undefined) throw new BadOption(`${flag} ${unknown}: choose of ${known.join(", ")}`, 1);
	return values;
}

function number(flag: string, text: string | undefined, least: number, most: number): number | undefined {
	if (text === undefined) return undefined;
	const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
	if (!(value >= least && value <= most && (least < 1 || Number.isInteger(value))))
		throw new BadOption(
			`${flag} ${text}: give ${least < 1 ? "seconds" : "a number"} from ${least} to ${most}`,
			1,
		);
	return value;
}

/** `cases` and `peers` are the names there are; a peer of its own comes with --peer-command. */
export function parseOptions(
	argv: readonly string[],
	known: { cases: readonly string[]; peers: readonly string[] },
): Options {
	const given = readFlags(argv);
	const peerCommand = given.get("--peer-command")?.[0];
	const wrong = peerCommand === undefined ? undefined : refuseTemplate(peerCommand);
	if (wrong !== undefined) throw new BadOption(`--peer-command: ${wrong}: ${HELP}`, 1);
	return {
		quick: given.has("--quick"),
		cases: chosen("--case", given.get("--case") ?? [], known.cases),
		peers: chosen("--peer", given.get("--peer") ?? [], [
			...known.peers,
			...(peerCommand === undefined ? [] : ["command"]),
		]),
		peerCommand,
		runs: number("--runs", given.get("--runs")?.[0], 1, RUNS_MAX),
		seconds: number("--seconds", given.get("--seconds")?.[0], SECONDS_MIN, SECONDS_MAX),
		results: given.get("--results")?.[0],
		json: given.get("--json")?.[0],
	};
}
