import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { facilities } from "@sluice/lib/facilities";
import type { Command } from "commander";
import { commandLine } from "./command-line.ts";

const program = commandLine(async () => {});
const page = await readFile(join(import.meta.dir, "../../docs/cli.md"), "utf8");

/** Commands that do something, with the words that call them; not what only containers begin with. */
function leaves(command: Command, path: string): [string, Command][] {
	if (command.commands.length === 0) return [[path, command]];
	const shown = command.createHelp().visibleCommands(command);
	return command.commands
		.filter((sub) => shown.includes(sub))
		.flatMap((sub) => leaves(sub, `${path} ${sub.name()}`));
}

/** The page's section on each command: heading line and text up to the next heading. */
const sections = new Map(
	page
		.split(/^#+ /m)
		.filter((section) => section.startsWith("`sluice "))
		.map((section) => [/^`([^`]*)`/.exec(section)?.[1] ?? "", section]),
);

const usage = (path: string, command: Command) =>
	[
		path,
		...command.registeredArguments.map((argument) =>
			argument.required ? argument.name() : `[${argument.name()}]`,
		),
	].join(" ");

test("docs/cli.md has a section on each command, and on no other", () => {
	const commands = leaves(program, "sluice").map(([path, command]) => usage(path, command));
	expect([...sections.keys()].sort()).toEqual(commands.sort());
});

for (const [path, command] of leaves(program, "sluice")) {
	test(`docs/cli.md has the flags of ${path}`, () => {
		const section = sections.get(usage(path, command)) ?? "";
		const flags = new Set(section.match(/(?<![\w-])--[a-z][a-z-]*/g) ?? []);
		const declared = command.options.map((option) => option.long ?? "");
		const everywhere = program.options.map((option) => option.long ?? "").concat("--help");
		for (const flag of declared) expect([...flags]).toContain(flag);
		for (const flag of flags) expect([...declared, ...everywhere]).toContain(flag);
	});
}

test("help fits 80 columns", () => {
	for (const [path, command] of leaves(program, "sluice")) {
		const help: string[] = [];
		const writeOut = (text: string) => void help.push(text);
		command.configureOutput({ writeOut, getOutHelpWidth: () => 80 }).outputHelp();
		const lines = help.join("").split("\n");
		expect(lines[0]).toStartWith(`Usage: ${path} `);
		expect(lines.filter((line) => line.length > 80)).toEqual([]);
	}
});

test("docs/cli.md lists the facilities of each service", () => {
	for (const [service, names] of Object.entries(facilities)) {
		expect(page).toContain(`| \`${service}\` | ${names.map((name) => `\`${name}\``).join(", ")} |`);
	}
});

test("docs/cli.md has every global flag with its environment variable", () => {
	for (const option of program.options) {
		expect(page).toContain(`\`${option.long}`);
		const variable = /SLUICE_[A-Z_]+/.exec(option.description)?.[0];
		if (variable !== undefined) expect(page).toContain(`\`${variable}\``);
	}
});
