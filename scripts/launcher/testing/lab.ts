// The launcher in checkouts of its own, on a system that lacks what a test takes away.

import { mkdtempSync, rmSync } from "node:fs";
import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout } from "../../owner.ts";

export const folder = mkdtempSync(join(tmpdir(), "sluice-launcher-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

interface Launch {
	root?: string;
	cwd?: string;
	env?: Record<string, string>;
}

export function launch(argv: readonly string[], { root = checkout, cwd = folder, env = {} }: Launch = {}) {
	const started = performance.now();
	const { exitCode, stdout, stderr } = Bun.spawnSync([join(root, "sluice"), ...argv], {
		cwd,
		env: { ...process.env, ...env },
	});
	return { exitCode, stdout: `${stdout}`, stderr: `${stderr}`, elapsedMs: performance.now() - started };
}

/** The launcher's files without tools and build, as git leaves them. */
export async function freshCheckout(name: string): Promise<string> {
	const root = join(folder, name);
	await mkdir(join(root, "scripts"), { recursive: true });
	await cp(join(checkout, "sluice"), join(root, "sluice"));
	for (const part of ["launcher", "container"])
		await cp(join(checkout, "scripts", part), join(root, "scripts", part), { recursive: true });
	return root;
}

/** A folder for PATH: what Debian always has, no compiler, no apt. */
export async function bareSystem(name: string): Promise<string> {
	const bin = join(folder, name);
	await mkdir(bin);
	const present = [
		"bash",
		"cut",
		"env",
		"find",
		"flock",
		"getent",
		"mkdir",
		"readlink",
		"stat",
		"touch",
		"uname",
	];
	const ofFailures = ["df", "grep", "rm", "sed", "setsid", "sh", "sleep", "tail", "tr"];
	for (const program of [...present, ...ofFailures])
		await symlink(Bun.which(program) ?? `/usr/bin/${program}`, join(bin, program));
	return bin;
}

/** As `bareSystem`, with an apt-get that writes down what it is asked for and then does as this script says. */
export async function withApt(name: string, script: string) {
	const bin = await bareSystem(name);
	const asked = join(bin, "asked");
	const lines = ["#!/bin/sh", `echo "$*" >>${asked}`, `cd ${bin}`, script];
	await writeFile(join(bin, "apt-get"), `${lines.join("\n")}\n`, { mode: 0o755 });
	const installs = async () => (await Bun.file(asked).text()).match(/ install /g)?.length;
	return { bin, env: { PATH: bin }, installs };
}
