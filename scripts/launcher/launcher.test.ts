// The launcher as a user meets it. What installs packages is tried on a bare system; here is what
// can be seen on any machine that has built once.

import { expect, test } from "bun:test";
import { chmod, cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { getPriority } from "node:os";
import { join } from "node:path";
import { checkout } from "../owner.ts";
import { folder, freshCheckout, launch } from "./testing/lab.ts";

const PATIENCE_MS = 60_000;

test("a start with nothing to do adds less than 150 ms", () => {
	launch(["--version"]);
	const bundle = join(checkout, "build/cli.js");
	let [withLauncher, without] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
	const beganMs = performance.now();
	// The fastest of each, by turns. What else the machine does makes single ones slower, and more of them necessary.
	for (
		let round = 0;
		round < 5 || (withLauncher - without >= 150 && performance.now() - beganMs < PATIENCE_MS);
		round += 1
	) {
		withLauncher = Math.min(withLauncher, launch(["--version"]).elapsedMs);
		const startedMs = performance.now();
		Bun.spawnSync([process.execPath, bundle, "--version"], { cwd: folder });
		without = Math.min(without, performance.now() - startedMs);
	}
	expect(withLauncher - without).toBeLessThan(150);
});

/** A checkout in which all is there and nothing is to do; `bun` tells its nice value and ends. */
async function idleCheckout(name: string): Promise<string> {
	const root = await freshCheckout(name);
	for (const part of ["proto", "services", "dataplane-c", "build", ".tools/bin"])
		await mkdir(join(root, part), { recursive: true });
	for (const file of ["package.json", "bun.lock", "bunfig.toml", "build/cli.js"])
		await writeFile(join(root, file), "");
	for (const program of ["bun", "nats-server"])
		await writeFile(join(root, ".tools/bin", program), "#!/bin/sh\nnice\n", { mode: 0o755 });
	await writeFile(join(root, "build/.stamp"), "");
	return root;
}

test.skipIf(process.getuid?.() !== 0)(
	"root's commands come before others, what runs at rate does not",
	async () => {
		const root = await idleCheckout("at-work");
		const niceness = (...words: string[]) => Number(launch(words, { root }).stdout);
		for (const words of [
			["rule", "list"],
			["--json", "stats"],
			["apply", "-f", "rules.json5"],
		])
			expect([words, niceness(...words)]).toEqual([words, -5]);
		for (const words of [["gen"], ["--json", "recv"], ["rule", "list", "--help"]])
			expect([words, niceness(...words)]).toEqual([words, getPriority()]);
	},
);

test("what lies in the user's folder is not run", async () => {
	const cwd = join(folder, "hostile");
	await mkdir(cwd);
	await writeFile(join(cwd, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
	await writeFile(join(cwd, "preload.ts"), 'console.log("preloaded");\n');
	expect(launch(["--help"], { cwd }).stdout).not.toContain("preloaded");
});

/** As `launch`, by a shell that does something first. */
function launchAfter(script: string, argv: readonly string[], root = checkout) {
	const words = ["bash", "-c", script, "bash", join(root, "sluice"), ...argv];
	const { exitCode, stdout, stderr } = Bun.spawnSync(words, { cwd: folder });
	return { exitCode, stdout: `${stdout}`, stderr: `${stderr}` };
}

const refused = (line: string) => ({ exitCode: 1, stdout: "", stderr: `sluice: ${line}\n` });

test("what bun would crash of is refused with what raises it", async () => {
	for (const files of [8, 63])
		expect(launchAfter(`ulimit -n ${files}; exec "$@"`, ["--version"])).toEqual(
			refused(
				`only ${files} files may be open at once here: raise that with ulimit -n 1024 (LimitNOFILE= in a unit)`,
			),
		);
	if (process.getuid?.() !== 0) return;
	const root = await idleCheckout("few-processes");
	await chmod(folder, 0o755);
	// Of root no number of processes is asked.
	const other = 'exec setpriv --reuid=54321 --regid=54321 --clear-groups "$@"';
	expect(launchAfter(`ulimit -u 20; ${other}`, ["rule", "list"], root)).toEqual(
		refused("only 20 processes may run at once here: raise that with ulimit -u 1024 (LimitNPROC= in a unit)"),
	);
	expect(launchAfter(`ulimit -u 200; ${other}`, ["rule", "list"], root)).toMatchObject({ exitCode: 0 });
	expect(launchAfter('ulimit -u 20; exec "$@"', ["rule", "list"], root)).toMatchObject({ exitCode: 0 });
});

test("nothing is done for an answer that nobody gets; what stays needs no reader", async () => {
	const root = await idleCheckout("closed-output");
	expect(launchAfter('exec "$@" >&-', ["rule", "list"], root)).toEqual(
		refused("standard output is closed: send it to a file, or to /dev/null if nobody is to read the answer"),
	);
	const up = launchAfter('exec "$@" >&-', ["up", "--help"], root);
	expect(up).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

test("a link to the launcher starts it", async () => {
	const link = join(folder, "sluice-link");
	await symlink(join(checkout, "sluice"), link);
	const { exitCode, stdout } = Bun.spawnSync([link, "--help"], { cwd: folder });
	expect(exitCode).toBe(0);
	expect(`${stdout}`).toContain("up");
});

test("help on a fresh checkout tells how to begin and installs nothing", async () => {
	const root = await freshCheckout("asked-for-help");
	const { exitCode, stdout, stderr } = launch(["--help"], { root });
	expect(exitCode).toBe(0);
	expect(stdout).toContain("sudo ./sluice up");
	expect(stderr).toBe("");
	expect(await Bun.file(join(root, ".tools/lock")).exists()).toBe(false);
});

/** What a terminal of 80 columns would break. */
const tooWide = (text: string) => text.split("\n").filter((line) => line.length > 80);

test("help on a fresh checkout names what can be done there, in 80 columns", async () => {
	const root = await freshCheckout("asked-for-commands");
	const { stdout } = launch(["--help"], { root });
	for (const command of ["up", "demo", "test", "soak", "bench", "build"])
		expect(stdout).toContain(`sudo ./sluice ${command} `);
	expect(tooWide(stdout)).toEqual([]);
});

test("the version is told without installing anything", async () => {
	const root = await freshCheckout("asked-for-version");
	await cp(join(checkout, "package.json"), join(root, "package.json"));
	const { version } = await Bun.file(join(checkout, "package.json")).json();
	expect(launch(["--version"], { root })).toMatchObject({ exitCode: 0, stdout: `${version}\n`, stderr: "" });
	expect(await Bun.file(join(root, ".tools/lock")).exists()).toBe(false);
});

test("help of test, soak, bench and build fits 80 columns, and installs, builds and runs nothing", async () => {
	const root = await freshCheckout("asked-for-help-of-test");
	for (const command of ["test", "soak", "bench", "build"]) {
		for (const argv of [
			[command, "--help"],
			["--json", command, "-h"],
		]) {
			const { exitCode, stdout, stderr } = launch(argv, { root });
			expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
			expect(stdout).toStartWith(`Usage: sluice ${command}`);
			expect(tooWide(stdout)).toEqual([]);
		}
	}
	expect(await Bun.file(join(root, ".tools/lock")).exists()).toBe(false);
});

test("test, soak, bench and build refuse what they do not know, before they install anything", async () => {
	const root = await freshCheckout("unknown-words");
	for (const [argv, says] of [
		[["test", "--foo"], "unknown option --foo: see ./sluice test --help"],
		[["--bar", "build"], "unknown option --bar: see ./sluice build --help"],
		[["soak", "--minutes", "5", "--bar"], "unknown option --bar: see ./sluice soak --help"],
		[["soak", "--seed=5", "--minutes5"], "unknown option --minutes5: see ./sluice soak --help"],
		[["bench", "--case", "cpu", "--bar"], "unknown option --bar: see ./sluice bench --help"],
		[["bench", "--quickly"], "unknown option --quickly: see ./sluice bench --help"],
		[["build", "extra"], "build takes no arguments, and was given extra: see ./sluice build --help"],
	] as const) {
		const { exitCode, stdout, stderr } = launch(argv, { root });
		expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 2, stdout: "", stderr: `sluice: ${says}\n` });
	}
	expect(await Bun.file(join(root, ".tools/lock")).exists()).toBe(false);
});

test("the runner refuses a flag as well, and runs nothing", () => {
	const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, "tests/run.ts", "--foo"], {
		cwd: checkout,
	});
	expect([exitCode, `${stdout}`, `${stderr}`]).toEqual([
		2,
		"",
		"sluice: unknown option --foo: see ./sluice test --help\n",
	]);
});

test("where all is installed and built, nothing is said to be", () => {
	launch(["build"]);
	expect(launch(["build"])).toMatchObject({
		exitCode: 0,
		stdout: "",
		stderr: "sluice: everything is built already\n",
	});
}, 120_000);

test("a demanded nats-server that is too old is refused, both versions named", async () => {
	const server = join(folder, "nats-server");
	await writeFile(server, "#!/bin/sh\necho nats-server: v2.9.10\n");
	await chmod(server, 0o755);
	const { exitCode, stderr } = launch(["rule", "list"], { env: { SLUICE_NATS_SERVER: server } });
	expect(exitCode).toBe(1);
	expect(stderr).toMatch(/^sluice: .*2\.9\.10.*2\.10\.27.*: .*SLUICE_NATS_SERVER$/m);
});

test("a processor that no tool is built for is refused", async () => {
	const root = await freshCheckout("riscv");
	const bin = join(folder, "riscv-bin");
	await mkdir(bin);
	await writeFile(join(bin, "uname"), "#!/bin/sh\necho Linux riscv64\n");
	await chmod(join(bin, "uname"), 0o755);
	const { exitCode, stderr } = launch(["rule", "list"], {
		root,
		env: { PATH: `${bin}:${process.env["PATH"]}` },
	});
	expect(exitCode).toBe(1);
	expect(stderr).toContain("Linux riscv64");
});

test.skipIf(process.getuid?.() !== 0)("without root, up says what needs root and why", async () => {
	// A checkout in a private home cannot be read by the user that this test becomes: a copy can.
	const root = await freshCheckout("without-root");
	await chmod(folder, 0o755);
	const { exitCode, stderr } = Bun.spawnSync(
		["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", join(root, "sluice"), "up"],
		{ cwd: "/" },
	);
	expect(exitCode).toBe(1);
	expect(`${stderr}`).toMatch(/^sluice: up needs root, since .*: run sudo \.\/sluice up\n$/);
});

test("what deployment.md says is to be removed is what is made", async () => {
	const read = (path: string) => Bun.file(join(checkout, path)).text();
	const [, section = ""] = (await read("docs/deployment.md")).split("### Remove Sluice");
	const [said = ""] = section.split("\n## ");
	const accounts = `source ${join(checkout, "scripts/launcher/accounts.sh")}; echo "\${service_users[*]}"`;
	const users = `${Bun.spawnSync(["bash", "-c", accounts]).stdout}`.trim();
	expect(said).toContain(`for user in ${users}; do sudo userdel`);
	const made = [...(await read("scripts/launcher/accounts.sh")).matchAll(/groupadd --system (\S+)/g)];
	expect(made.map(([, group]) => group)).toEqual(["sluice"]);
	expect(said).toContain("sudo groupdel sluice\n");
	const packages = await read("scripts/launcher/packages.sh");
	const installed = [...packages.matchAll(/missing\+=\((\S+)\)/g)].map(([, name]) => name);
	expect(said).toContain(`\`${installed.join(" ")}\``);
	const [, stages] = /^const STAGES = "(.*)";$/m.exec(await read("services/cli/up/stage.ts")) ?? [];
	const [, data] = /DEFAULT_DATA_DIR = "(.*)";$/m.exec(await read("services/cli/global-flags.ts")) ?? [];
	expect(said).toContain(` ${stages} ${data}\n`);
});
