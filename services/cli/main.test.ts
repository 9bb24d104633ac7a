import { describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, open, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createUser } from "@nats-io/nkeys";

interface Run {
	exitCode: number;
	stdout: string;
	stderr: string;
}

/** Runs the command line as a shell would; there is no cluster in the empty data directory. */
async function sluice(args: string[], env: Record<string, string> = {}): Promise<Run> {
	const child = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts"), ...args], {
		env: { PATH: process.env["PATH"] ?? "", SLUICE_DATA_DIR: "/nonexistent", ...env },
		stdin: "ignore",
		stdout: "pipe",
		stderr: "pipe",
	});
	const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
	return { exitCode: await child.exited, stdout, stderr };
}

const addRule = ["rule", "add", "video", "--in", "r0:239.1.1.1:5001"];
const out = ["--out", "r1:239.10.1.1:6001"];

const cases: [name: string, args: string[], exitCode: number, says: RegExp][] = [
	["an unknown command", ["ruel"], 2, /^sluice: unknown command ruel: did you mean rule\?$/],
	["an unknown subcommand", ["rule", "ad"], 2, /^sluice: unknown command ad: did you mean add\?$/],
	[
		"a word of other tools",
		["rule", "delete", "v"],
		2,
		/^sluice: unknown command delete: did you mean remove\?$/,
	],
	[
		"a word that means two things",
		["host", "rm", "a"],
		2,
		/^sluice: unknown command rm: did you mean forget\?$/,
	],
	["a rule's command without rule", ["list"], 2, /^sluice: unknown command list: did you mean rule list\?$/],
	["how others begin", ["start"], 2, /^sluice: unknown command start: did you mean up\?$/],
	[
		"a group without its command",
		["rule"],
		2,
		/^sluice: sluice rule needs a command: one of add, set, list, show, remove$/,
	],
	["no command at all", [], 2, /^sluice: sluice needs a command: one of (?!.*\bcontainer\b)/],
	[
		"help for an unknown command",
		["nosuch", "--help"],
		2,
		/^sluice: unknown command nosuch: see sluice --help$/,
	],
	[
		"help for an unknown command, behind a flag with a value",
		["--timeout", "9", "help", "nosuch"],
		2,
		/^sluice: unknown command nosuch: see sluice --help$/,
	],
	["help for an unknown subcommand", ["help", "--json", "rule", "ad"], 2, /^sluice: unknown command ad: /],
	[
		"a flag with one value given twice",
		[...addRule, "--in", "r0:239.1.1.2:5001", ...out],
		2,
		/^sluice: --in is given twice, as r0:239.1.1.1:5001 and r0:239.1.1.2:5001: give it once$/,
	],
	[
		"a global flag given twice, before and after the command",
		["--timeout", "1", "rule", "list", "--timeout", "2"],
		2,
		/^sluice: --timeout is given twice, as 1 and 2: give it once$/,
	],
	[
		"a level's service given twice",
		["log", "level", "--service", "a", "--service", "b"],
		2,
		/^sluice: --service is /,
	],
	["an unknown flag", ["stats", "--wtch"], 2, /^sluice: unknown option --wtch: did you mean --watch\?$/],
	[
		"a missing argument",
		["rule", "show"],
		2,
		/^sluice: missing required argument NAME: see sluice rule show --help$/,
	],
	[
		"a missing flag",
		addRule,
		2,
		/^sluice: required option --out .* not specified: see sluice rule add --help$/,
	],
	[
		"a flag without its value",
		["rule", "list", "--nats"],
		2,
		/^sluice: option --nats <URL> argument missing: see /,
	],
	[
		"an argument too many",
		["export", "x"],
		2,
		/^sluice: too many arguments for export.*: see sluice export --help$/,
	],
	[
		"an input that does not parse",
		["rule", "add", "v", "--in", "r0:239.1.1.1", ...out],
		1,
		/^sluice: --in r0:239.1.1.1: expected IFACE:GROUP:PORT/,
	],
	[
		"an output that does not parse",
		[...addRule, "--out", "r1"],
		1,
		/^sluice: --out r1: expected IFACE:ADDR:PORT/,
	],
	["a bad timeout", ["rule", "list", "--timeout", "soon"], 1, /^sluice: --timeout soon: expected seconds/],
	[
		"a bad level",
		["log", "level", "loud"],
		1,
		/^sluice: level loud: expected trace, debug, info, warn, error$/,
	],
	[
		"a file that is not there",
		["apply", "-f", "/nonexistent"],
		1,
		/^sluice: \/nonexistent does not exist: name a file, /,
	],
	[
		"credentials that are not there",
		["rule", "list", "--credentials", "/nonexistent"],
		1,
		/^sluice: credentials \/nonexistent do not exist: /,
	],
	[
		"credentials that cannot be there",
		["rule", "list", "--credentials", "/dev/null/operator.json"],
		1,
		/^sluice: credentials \/dev\/null\/operator.json cannot be read \(ENOTDIR\): name another file$/,
	],
	[
		"no cluster on this host",
		["rule", "list"],
		3,
		/^sluice: no cluster on this host, .*: start it with sudo .\/sluice up/,
	],
];

describe("one line on stderr and the exit code for", () => {
	for (const [name, args, exitCode, says] of cases) {
		test(name, async () => {
			const run = await sluice(args);
			expect(run.stderr.trimEnd()).toMatch(says);
			expect(run.stderr.trimEnd()).not.toContain("\n");
			expect(run).toMatchObject({ exitCode, stdout: "" });
		});
	}
});

describe("with credentials", () => {
	const seed = new TextDecoder().decode(createUser().getSeed());

	async function withCredentials(url: string, body: (file: string) => Promise<void>): Promise<void> {
		const folder = await mkdtemp(join(tmpdir(), "sluice-cli-"));
		try {
			const file = join(folder, "operator.json");
			await writeFile(file, JSON.stringify({ kind: "nkey", name: "operator", seed, url }), { mode: 0o600 });
			await body(file);
		} finally {
			await rm(folder, { recursive: true });
		}
	}

	test("an unreachable cluster is exit code 3, whether the URL is the file's or a flag's", async () => {
		await withCredentials("nats://127.0.0.1:1", async (file) => {
			const env = { SLUICE_CREDENTIALS: file };
			for (const args of [
				["rule", "list"],
				["--nats", "nats://127.0.0.1:2", "stats"],
			]) {
				const run = await sluice(args, env);
				expect(run.stderr).toMatch(/^sluice: NATS at nats:\/\/127.0.0.1:[12] is not reachable: .*\n$/);
				expect(run.stderr).toContain(
					args[0] === "--nats" ? ": check --nats, or start" : ": start it with sudo ./sluice up",
				);
				expect(run.exitCode).toBe(3);
			}
		});
	});

	test("while an up has the data directory, nobody is told to start one", async () => {
		await withCredentials("nats://127.0.0.1:1", async (file) => {
			const folder = dirname(file);
			await mkdir(join(folder, "credentials"));
			await rename(file, join(folder, "credentials", "operator.json"));
			const lock = await open(join(folder, "lock"), "w");
			try {
				await lock.write(String(process.pid));
				const run = await sluice(["rule", "list"], { SLUICE_DATA_DIR: folder });
				expect(run.stderr).toEndWith(
					": sluice up runs here and is starting it, so try in a few seconds, or look at its log\n",
				);
				expect(run.exitCode).toBe(3);
			} finally {
				await lock.close();
			}
			const run = await sluice(["rule", "list"], { SLUICE_DATA_DIR: folder });
			expect(run.stderr).toEndWith(": start it with sudo ./sluice up, or name it with --nats\n");
		});
	});

	test("a file of credentials that all may read, or others may change, is a warning", async () => {
		await withCredentials("nats://127.0.0.1:1", async (file) => {
			for (const [mode, what] of [
				[0o644, "read"],
				[0o660, "changed"],
			] as const) {
				await chmod(file, mode);
				const { stderr } = await sluice(["rule", "list", "--credentials", file]);
				expect(stderr).toStartWith(
					`sluice: warning: credentials ${file} may be ${what} by others: chmod 600\nsluice: NATS at `,
				);
			}
		});
	});

	test("a server that accepts and says nothing is exit code 3 after --timeout", async () => {
		const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
		try {
			await withCredentials(`nats://127.0.0.1:${silent.port}`, async (file) => {
				const run = await sluice(["rule", "list", "--timeout", "0.3"], { SLUICE_CREDENTIALS: file });
				expect(run.exitCode).toBe(3);
				// By its own clock: its start takes what it takes. Without the flag it would wait 5 s.
				const [, took, unit] = / no answer within ([\d.]+) (ms|s): /.exec(run.stderr) ?? [];
				expect(Number(took) * (unit === "s" ? 1_000 : 1)).toBeWithin(300, 5_000);
			});
		} finally {
			silent.stop(true);
		}
	});

	test("--debug says where an error came from", async () => {
		await withCredentials("nats://127.0.0.1:1", async (file) => {
			const run = await sluice(["--debug", "rule", "list"], { SLUICE_CREDENTIALS: file });
			expect(run.stderr).toMatch(/^sluice: NATS at .*\n[\s\S]*SluiceError/);
		});
	});
});

test("--help goes to stdout with exit code 0, at every level", async () => {
	for (const [args, usage] of [
		[["--help"], "Usage: sluice"],
		[["rule", "--help"], "Usage: sluice rule"],
		[["rule", "add", "--help"], "Usage: sluice rule add"],
		[["--nats", "nosuch", "rule", "-h"], "Usage: sluice rule"],
		[["help"], "Usage: sluice [options]"],
		[["help", "rule"], "Usage: sluice rule"],
		[["--json", "help", "rule", "add"], "Usage: sluice rule add"],
		[["help", "test"], "Usage: sluice test"],
		[["help", "recv"], "Usage: sluice recv"],
	] as const) {
		const run = await sluice([...args]);
		expect(run.stdout).toStartWith(usage);
		expect(run).toMatchObject({ exitCode: 0, stderr: "" });
	}
});

test("--version prints the version of the checkout", async () => {
	const { version } = await Bun.file(join(import.meta.dir, "../../package.json")).json();
	expect(await sluice(["--version"])).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: "" });
});

test("global flags are taken before and after the command", async () => {
	for (const args of [
		["--timeout", "x", "rule", "list"],
		["rule", "--timeout", "x", "list"],
		["rule", "list", "--timeout", "x"],
	]) {
		expect((await sluice(args)).stderr).toStartWith("sluice: --timeout x: expected seconds");
	}
});
