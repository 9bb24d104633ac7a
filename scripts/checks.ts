// The checks of `bun run check`, which are also the first results of `./sluice test`.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Glob } from "bun";
import { asOwner, checkout } from "./owner.ts";

export interface Outcome {
	passed: boolean;
	output: string;
}

export interface Check {
	name: string;
	/** A program that not every machine has: without it the check is skipped. */
	needs?: string;
	run(): Promise<Outcome>;
}

async function command(argv: readonly string[], cwd = checkout): Promise<Outcome> {
	const job = Bun.spawn(asOwner(argv), {
		cwd,
		// buf finds its plugin in node_modules/.bin.
		env: {
			...process.env,
			NO_COLOR: "1",
			PATH: `${join(checkout, "node_modules/.bin")}:${process.env["PATH"]}`,
		},
		stdio: ["ignore", "pipe", "pipe"],
	});
	const [stdout, stderr, code] = await Promise.all([
		new Response(job.stdout).text(),
		new Response(job.stderr).text(),
		job.exited,
	]);
	return { passed: code === 0, output: stdout + stderr };
}

/** A tool of node_modules; its scripts ask for node, which --bun answers with bun. */
function nodeTool(name: string, ...args: string[]): readonly string[] {
	return [process.execPath, "--bun", join(checkout, "node_modules/.bin", name), ...args];
}

async function files(pattern: string): Promise<string[]> {
	const found = await Array.fromAsync(new Glob(pattern).scan({ cwd: checkout }));
	return found.filter((path) => !path.includes("node_modules/")).sort();
}

async function generatedCodeIsCurrent(): Promise<Outcome> {
	const folder = (await command(["mktemp", "-d"])).output.trim();
	try {
		const generated = await command(nodeTool("buf", "generate", "-o", folder), join(checkout, "proto"));
		if (!generated.passed) return generated;
		const same = await command(["diff", "-r", "proto/gen", join(folder, "gen")]);
		return same.passed ? same : { ...same, output: `${same.output}run: bun run generate\n` };
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

/**
 * One clang-tidy for each file, since clang 14's va_list checker takes every va_list of the second
 * and later files of a run for uninitialized; as many at once as there are cores, for it is slow.
 */
async function clangTidy(): Promise<Outcome> {
	const sources = await files("dataplane-c/{src,tools,test,bench,fuzz}/**/*.c");
	// As in dataplane-c/Makefile, as far as it decides what is compiled.
	const flags = ["--", "-std=c11", "-D_GNU_SOURCE", "-Idataplane-c/include"];
	const failures: Outcome[] = [];
	const work = async (): Promise<void> => {
		for (let source = sources.pop(); source !== undefined; source = sources.pop()) {
			const outcome = await command(["clang-tidy", "--quiet", source, ...flags]);
			if (!outcome.passed) failures.push(outcome);
		}
	};
	await Promise.all(Array.from({ length: navigator.hardwareConcurrency }, work));
	return { passed: failures.length === 0, output: failures.map(({ output }) => output).join("") };
}

async function onFiles(argv: readonly string[], pattern: string): Promise<Outcome> {
	const found = await files(pattern);
	return found.length > 0 ? command([...argv, ...found]) : { passed: true, output: "" };
}

export const checks: readonly Check[] = [
	{ name: "biome", run: () => command(nodeTool("biome", "ci", "--colors=off", ".")) },
	{ name: "types", run: () => command(nodeTool("tsc", "--project", ".")) },
	{ name: "unused code", run: () => command(nodeTool("knip", "--no-progress", "--no-config-hints")) },
	{ name: "buf lint", run: () => command(nodeTool("buf", "lint"), join(checkout, "proto")) },
	{ name: "generated code is current", run: generatedCodeIsCurrent },
	{
		name: "API reference is current",
		run: () => command([process.execPath, join(checkout, "scripts/api-reference.ts"), "--check"]),
	},
	{
		name: "clang-format",
		needs: "clang-format",
		run: () => onFiles(["clang-format", "--dry-run", "-Werror"], "dataplane-c/**/*.{c,h}"),
	},
	{ name: "clang-tidy", needs: "clang-tidy", run: clangTidy },
	{
		name: "shellcheck",
		needs: "shellcheck",
		run: () =>
			onFiles(
				["shellcheck", "--external-sources", "sluice", ".ci/run"],
				"{{scripts,docs,tests}/**/*.sh,scripts/container/*}",
			),
	},
];
