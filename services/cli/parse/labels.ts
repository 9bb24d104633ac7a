import { labelComplaint } from "@sluice/lib/labels";
import { badValue, CommandFailure, exitCodes } from "../failure.ts";

const SHAPE = "k=v,k=v";

/** What a flag such as `--labels k=v,…` says. @throws CommandFailure. */
export function parseLabels(flag: string, text: string): Record<string, string> {
	const pairs = new Map<string, string>();
	for (const pair of text.split(",")) {
		const [, key, value] = /^([^=\s]+)=([^=\s]*)$/.exec(pair) ?? [];
		if (key === undefined || value === undefined) throw badValue(`${flag} ${text}`, SHAPE);
		if (pairs.has(key)) throw badValue(`${flag} ${text}: ${key} is given twice`, SHAPE);
		pairs.set(key, value);
	}
	const labels = Object.fromEntries(pairs);
	const complaint = labelComplaint(labels);
	if (complaint !== undefined) throw new CommandFailure(exitCodes.failed, `${flag}: ${complaint}`);
	return labels;
}
