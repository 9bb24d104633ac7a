import type { Command } from "commander";

/** What other tools call a command of ours. */
const otherWords: ReadonlyMap<string, readonly string[]> = new Map([
	["rm", ["remove", "forget", "revoke"]],
	["del", ["remove", "forget", "revoke"]],
	["delete", ["remove", "forget", "revoke"]],
	["remove", ["forget", "revoke"]],
	["ls", ["list"]],
	["get", ["show"]],
	["create", ["add"]],
	["new", ["add"]],
	["update", ["set"]],
	["edit", ["set"]],
	["start", ["up"]],
	["run", ["up"]],
]);

/** The command below `above` that somebody means by `word`, who left out `rule` or knows it by another word. */
export function meantBy(word: string, above: Command): string | undefined {
	const names = (command: Command) => command.commands.map((sub) => sub.name());
	const known = names(above);
	const meant = otherWords.get(word)?.find((name) => known.includes(name));
	if (meant !== undefined) return meant;
	const rule = above.commands.find((sub) => sub.name() === "rule");
	return rule !== undefined && names(rule).includes(word) ? `rule ${word}` : undefined;
}
