import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import { until } from "@sluice/lib/testing/until";
import { RuleStatus_State as State } from "@sluice/proto/gen/rule";
import { CliLab } from "./cli-lab.ts";

let lab: CliLab;

beforeAll(async () => {
	lab = await CliLab.start();
});
afterAll(() => lab.stop());

beforeEach(async () => {
	await lab.must(["apply", "-f", "-", "--prune"], "{ rules: [] }");
});

/** More than any revision a test reaches: the host has always applied everything. */
const EVERYTHING = 1_000_000n;
const interfaces = [
	{ name: "r0", up: true },
	{ name: "r1", up: true },
];
const video = ["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"];
const nobody = ["--host", "nobody"];

function rulesFile(count: number, ttl = 16): string {
	const rules = Array.from({ length: count }, (_, index) => ({
		name: `rule-${String(index).padStart(5, "0")}`,
		input: { interface: "r0", group: `239.1.${index >> 8}.${index & 255}`, port: 5001 },
		outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001, ttl }],
		hosts: ["nobody"],
	}));
	return JSON.stringify({ rules });
}

describe("a rule", () => {
	test("is added, listed, shown, replaced in place and removed", async () => {
		expect(await lab.must(["rule", "add", "video", ...video, ...nobody])).toBe(
			"rule video: PENDING on nobody: host is not known: start sluice there\n",
		);
		expect(await lab.must(["rule", "list"])).toContain(
			"video  r0:239.1.1.1:5001  r1:239.10.1.1:6001  PENDING on nobody",
		);
		const before = await lab.json<{ rule: { uid: string; revision: string } }>(["rule", "show", "video"]);
		await lab.must(["rule", "set", "video", ...video.slice(0, 3), "r1:239.10.1.1:6001,ttl=32", ...nobody]);
		const after = await lab.json<typeof before>(["rule", "show", "video"]);
		expect(after.rule.uid).toBe(before.rule.uid);
		expect(BigInt(after.rule.revision)).toBeGreaterThan(BigInt(before.rule.revision));
		expect(await lab.must(["rule", "show", "video"])).toContain("output    r1:239.10.1.1:6001,ttl=32\n");
		expect(await lab.must(["rule", "remove", "video"])).toBe("rule video: removed\n");
		expect(await lab.must(["rule", "list"])).toBe("no rules yet: add one with sluice rule add\n");
	});

	test("with a value out of range is refused under the flag that was typed", async () => {
		const tagged = ["--in", "r0:239.1.1.1:5001,vlan=5000", "--out", "r1:239.10.1.1:6001"];
		const refused = { exitCode: 1, stdout: "" };
		for (const verb of ["add", "set"]) {
			if (verb === "set") await lab.must(["rule", "add", "video", ...video, ...nobody]);
			const outcome = await lab.run(["rule", verb, "video", ...tagged]);
			expect(outcome).toMatchObject(refused);
			expect(outcome.stderr).toMatch(/^sluice: --in r0:239.1.1.1:5001,vlan=5000: input\.vlan: 5000 .*\n$/);
		}
	});

	test("that exists is not added again, one that does not is not set", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		expect(await lab.run(["rule", "add", "video", ...video])).toEqual({
			exitCode: 1,
			stdout: "",
			stderr: "sluice: rule video exists: replace it with sluice rule set video\n",
		});
		expect(await lab.run(["rule", "set", "audio", ...video])).toEqual({
			exitCode: 1,
			stdout: "",
			stderr: "sluice: no rule audio: add it with sluice rule add audio\n",
		});
	});

	test("with the key of another is refused, and the other is named", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		const outcome = await lab.run(["rule", "add", "copy", ...video, ...nobody]);
		expect(outcome).toMatchObject({ exitCode: 1, stdout: "" });
		expect(outcome.stderr).toMatch(/^sluice: .*video.*\n$/);
	});

	test("with a bad value is refused by the server in one line", async () => {
		const outcome = await lab.run([
			"rule",
			"add",
			"video",
			"--in",
			"r0:239.1.1.1:0",
			"--out",
			"r1:239.10.1.1:1",
		]);
		expect(outcome).toMatchObject({ exitCode: 1, stdout: "" });
		expect(outcome.stderr).toMatch(/^sluice: --in r0:239\.1\.1\.1:0: input\.port: .*\n$/);
	});

	test("that does not exist is neither shown nor removed", async () => {
		for (const what of ["show", "remove"]) {
			const outcome = await lab.run(["rule", what, "nothing"]);
			expect(outcome).toMatchObject({ exitCode: 1, stdout: "" });
			expect(outcome.stderr).toMatch(/^sluice: rule nothing .*\n$/);
		}
	});

	test("of a cycle is accepted with a warning on stderr", async () => {
		await lab.must([
			"rule",
			"add",
			"there",
			"--in",
			"r0:239.1.1.1:5001",
			"--out",
			"r1:239.1.1.1:5001",
			...nobody,
		]);
		const outcome = await lab.run([
			"rule",
			"add",
			"back",
			"--in",
			"r1:239.1.1.1:5001",
			"--out",
			"r0:239.1.1.1:5001",
			...nobody,
		]);
		expect(outcome).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^rule back: PENDING/) });
		expect(outcome.stderr).toMatch(/^sluice: warning: .*there.*\n$/);
	});

	test("is listed through all pages, as one message with --json", async () => {
		await lab.must(["apply", "-f", "-"], rulesFile(2_300));
		const { rules } = await lab.json<{ rules: { name: string }[] }>(["rule", "list"]);
		expect(rules.map((rule) => rule.name)).toEqual(
			Array.from({ length: 2_300 }, (_, index) => `rule-${String(index).padStart(5, "0")}`),
		);
	}, 30_000);
});

describe("waiting for hosts", () => {
	test("ends with ACTIVE", async () => {
		const stop = await lab.playHost({ host: "relay-a", interfaces, appliedSequence: EVERYTHING });
		try {
			expect(await lab.must(["rule", "add", "video", ...video, "--host", "relay-a"])).toBe(
				"rule video: ACTIVE on relay-a\n",
			);
			const set = ["rule", "set", "video", ...video, "--host", "relay-a"];
			const answer = await lab.json<{ rule: { hosts: unknown[] }; changed: boolean }>(set);
			expect(answer).toMatchObject({
				changed: false,
				rule: { hosts: [{ host: "relay-a", state: "ACTIVE", reason: "" }] },
			});
		} finally {
			stop();
		}
	});

	test("ends with PENDING and the host's reason, which is no failure", async () => {
		const exceptions = [{ name: "video", state: State.PENDING, reason: "no interface r9 here" }];
		const stop = await lab.playHost({ host: "relay-b", interfaces, appliedSequence: EVERYTHING, exceptions });
		try {
			expect(await lab.must(["rule", "add", "video", ...video, "--host", "relay-b"])).toBe(
				"rule video: PENDING on relay-b: no interface r9 here\n",
			);
		} finally {
			stop();
		}
	});

	test("ends with FAILED, exit code 1 and the host's name; the rule stays", async () => {
		const exceptions = [{ name: "video", state: State.FAILED, reason: "out of ring memory" }];
		const stop = await lab.playHost({ host: "relay-c", interfaces, appliedSequence: EVERYTHING, exceptions });
		try {
			expect(await lab.run(["rule", "add", "video", ...video, "--host", "relay-c"])).toEqual({
				exitCode: 1,
				stdout: "rule video: FAILED on relay-c: out of ring memory\n",
				stderr:
					"sluice: rule video: FAILED on relay-c: out of ring memory: the rule stays, see sluice rule show video\n",
			});
			await lab.must(["rule", "show", "video"]);
		} finally {
			stop();
		}
	});

	test("ends after --timeout when a host does not answer, which names it", async () => {
		const stop = await lab.playHost({ host: "relay-d", interfaces, appliedSequence: 0n });
		try {
			const outcome = await lab.run([
				"rule",
				"add",
				"video",
				...video,
				"--host",
				"relay-d",
				"--timeout",
				"0.4",
			]);
			expect(outcome.exitCode).toBe(1);
			expect(outcome.stderr).toBe(
				"sluice: rule video: no answer from relay-d in 0.4 s: the rule stays, see sluice rule show video\n",
			);
		} finally {
			stop();
		}
	});

	test("ends after --timeout when a host has gone silent", async () => {
		const stop = await lab.playHost({ host: "relay-f", interfaces, appliedSequence: EVERYTHING });
		stop();
		await until(async () => {
			const { hosts } = await lab.json<{ hosts: { host: string; lastSeenSeconds: number }[] }>([
				"host",
				"list",
			]);
			return hosts.some((host) => host.host === "relay-f" && host.lastSeenSeconds > HOST_GONE_SECONDS);
		});
		const outcome = await lab.run([
			"rule",
			"add",
			"video",
			...video,
			"--host",
			"relay-f",
			"--timeout",
			"0.4",
		]);
		expect(outcome.exitCode).toBe(1);
		expect(outcome.stdout).toMatch(/^rule video: PENDING on relay-f: host not seen for \d+ s\n$/);
		expect(outcome.stderr).toStartWith("sluice: rule video: no answer from relay-f in 0.4 s: ");
	}, 20_000);
});

describe("a file", () => {
	test("of 1,000 rules shows its diff, is applied, and is a no-op the second time", async () => {
		const file = rulesFile(1_000);
		const dry = await lab.must(["apply", "-f", "-", "--dry-run"], file);
		expect(dry.split("\n").slice(0, 2)).toEqual(["+ rule-00000", "+ rule-00001"]);
		expect(dry).toEndWith("\n1000 added, 0 changed, 0 removed, 0 unchanged\n");
		expect(await lab.must(["rule", "list"])).toStartWith("no rules yet");
		expect(await lab.must(["apply", "-f", "-"], file)).toContain(
			"1000 added, 0 changed, 0 removed, 0 unchanged\n",
		);
		expect(await lab.must(["apply", "-f", "-"], file)).toBe(
			"0 added, 0 changed, 0 removed, 1000 unchanged\n",
		);
	}, 30_000);

	test("shows what changes field by field, and removes only with --prune", async () => {
		await lab.must(["apply", "-f", "-"], rulesFile(3));
		const changed = JSON.parse(rulesFile(2));
		changed.rules[0].outputs[0].ttl = 32;
		const text = JSON.stringify(changed);
		expect(await lab.must(["apply", "-f", "-", "--dry-run"], text)).toBe(
			"~ rule-00000  outputs[0].ttl: 16 -> 32\n0 added, 1 changed, 0 removed, 1 unchanged\n",
		);
		expect(await lab.must(["apply", "-f", "-", "--prune", "--dry-run"], text)).toBe(
			"~ rule-00000  outputs[0].ttl: 16 -> 32\n- rule-00002\n0 added, 1 changed, 1 removed, 1 unchanged\n",
		);
		await lab.must(["apply", "-f", "-", "--prune"], text);
		expect((await lab.json<{ rules: unknown[] }>(["rule", "list"])).rules).toHaveLength(2);
	});

	test("applied with --json tells on stderr which rules wait, 20 of them", async () => {
		const outcome = await lab.run(["apply", "-f", "-", "--json"], rulesFile(22));
		expect(outcome.exitCode).toBe(0);
		expect(JSON.parse(outcome.stdout).changes).toHaveLength(22);
		const lines = outcome.stderr.trimEnd().split("\n");
		expect(lines).toHaveLength(21);
		expect(lines[0]).toBe(
			"sluice: rule rule-00000: PENDING on nobody: host is not known: start sluice there",
		);
		expect(lines[20]).toBe("sluice: 2 more rules are not ACTIVE everywhere: see sluice rule list");
	});

	test("with one bad rule is refused as a whole", async () => {
		const broken = JSON.parse(rulesFile(10));
		broken.rules[7].outputs[0].ttl = 0;
		const outcome = await lab.run(["apply", "-f", "-"], JSON.stringify(broken));
		expect(outcome).toMatchObject({ exitCode: 1, stdout: "" });
		expect(outcome.stderr).toMatch(/^sluice: .*ttl.*\n$/);
		broken.rules[7].outputs[0] = { ...broken.rules[7].outputs[0], ttl: 1, tll: 1 };
		expect((await lab.run(["apply", "-f", "-"], JSON.stringify(broken))).stderr).toStartWith(
			"sluice: standard input: rules[7].outputs[0].tll is unknown: ",
		);
		expect(await lab.must(["rule", "list"])).toStartWith("no rules yet");
	});

	test("that fits no single message is sent in parts and applied as one", async () => {
		const added = await lab.must(["apply", "-f", "-", "--timeout", "20"], rulesFile(10_000));
		expect(added).toContain("\n10000 added, 0 changed, 0 removed, 0 unchanged\n");
		expect(await lab.must(["apply", "-f", "-", "--timeout", "20"], rulesFile(10_000))).toBe(
			"0 added, 0 changed, 0 removed, 10000 unchanged\n",
		);
	}, 60_000);

	test("that export wrote is the identity for apply", async () => {
		await lab.must(["apply", "-f", "-"], rulesFile(20));
		await lab.must([
			...["rule", "add", "zoo", "--in", "r1:239.7.7.7:1", "--source", "10.0.0.0/24", "--source", "10.9.0.1"],
			...["--out", "r0:10.0.0.9:7,ttl=1,dscp=46,source-port=9", "--out", "r0:239.8.8.8:7", ...nobody],
		]);
		const exported = await lab.must(["export"]);
		expect(await lab.must(["apply", "-f", "-", "--prune"], exported)).toBe(
			"0 added, 0 changed, 0 removed, 21 unchanged\n",
		);
		expect(await lab.must(["export"])).toBe(exported);
	});
});

describe("views", () => {
	test("hosts and workers are listed as tables and as JSON", async () => {
		const workers = [
			{ host: "relay-e", worker: 0, core: 0, pid: 4242, state: 1, restarts: 2, lastExit: "signal SIGKILL" },
		];
		const stop = await lab.playHost({ host: "relay-e", interfaces, workers, labels: { site: "north" } });
		try {
			// Hosts of other tests have gone: stderr says so, and is not looked at.
			expect((await lab.run(["host", "list"])).stdout).toMatch(/^relay-e {2}r0, r1 +site=north .*s ago/m);
			const listed = JSON.parse((await lab.run(["host", "list", "--json"])).stdout);
			const host = listed.hosts.find((each: { host: string }) => each.host === "relay-e");
			expect(host.interfaces).toHaveLength(2);
			expect((await lab.run(["worker", "list"])).stdout).toMatch(
				/^relay-e +0 +0 +4242 {2}RUNNING +2 {2}signal SIGKILL$/m,
			);
			const list = JSON.parse((await lab.run(["worker", "list", "--json"])).stdout);
			expect(list.workers.find((worker: { host: string }) => worker.host === "relay-e")).toMatchObject({
				worker: 0,
				pid: 4242,
				state: "RUNNING",
				restarts: 2,
			});
		} finally {
			stop();
		}
	});

	test("a host that has gone silent is named instead of its workers", async () => {
		const workers = [{ host: "relay-s", worker: 0, core: 0, pid: 4242, state: 1 }];
		const stop = await lab.playHost({ host: "relay-s", interfaces, workers });
		stop();
		const isSilent = (stderr: string) =>
			/^sluice: host relay-s not seen for \d+ s: .*sluice up.*$/m.test(stderr);
		await until(async () => isSilent((await lab.run(["worker", "list"])).stderr), 20_000);
		const outcome = await lab.run(["worker", "list"]);
		expect(outcome.exitCode).toBe(0);
		expect(outcome.stdout).not.toContain("no worker is known yet");
		expect(isSilent((await lab.run(["host", "list"])).stderr)).toBe(true);
		expect(isSilent((await lab.run(["worker", "list", "--json"])).stderr)).toBe(true);
	}, 40_000);

	test("levels are set and shown", async () => {
		await lab.must(["log", "level", "debug", "--service", "worker", "--facility", "capture"]);
		expect(await lab.must(["log", "level"])).toMatch(/^worker +capture +debug$/m);
		expect(await lab.json<unknown>(["log", "level"])).toMatchObject({
			settings: [{ service: "worker", facility: "capture", level: "DEBUG" }],
		});
	});

	test("statistics without an aggregator are exit code 3; the list of rules does without", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		const outcome = await lab.run(["stats"]);
		expect(outcome).toMatchObject({ exitCode: 3, stdout: "" });
		expect(outcome.stderr).toBe(
			"sluice: nobody answers sluice.v1.stats.get: the service is not running: " +
				"sluice up starts it again, so try in a few seconds, or look at its log\n",
		);
		expect(await lab.must(["rule", "list"])).toMatch(/–\s+–\n$/);
	});

	test("statistics have every rule, zeros included", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		await lab.startService("stats-aggregator");
		try {
			expect(await lab.must(["stats", "video"])).toMatch(/^video +0 +0 +0 +0 +0 b\/s +never$/m);
			const { rules } = await lab.json<{ rules: unknown[] }>(["stats"]);
			expect(rules).toMatchObject([
				{ name: "video", receivedPackets: "0", outputs: [{ address: "239.10.1.1" }] },
			]);
		} finally {
			await lab.stopService("stats-aggregator");
		}
	});

	test("--watch goes on each second until interrupted, one object a line with --json", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		await lab.startService("stats-aggregator");
		try {
			const child = lab.spawn(["stats", "video", "--watch", "--json"]);
			let text = "";
			for await (const bytes of child.stdout) {
				text += new TextDecoder().decode(bytes);
				if (text.split("\n").length > 2) break;
			}
			child.kill("SIGINT");
			expect(await child.exited).toBe(0);
			const lines = text.trimEnd().split("\n");
			expect(lines).toHaveLength(2);
			for (const line of lines) expect(JSON.parse(line)).toMatchObject({ rules: [{ name: "video" }] });
		} finally {
			await lab.stopService("stats-aggregator");
		}
	});

	test("--watch on a terminal shows what fits, and in an outage no figures but the reason", async () => {
		await lab.must(["apply", "-f", "-"], rulesFile(40));
		await lab.startService("stats-aggregator");
		let screen = "";
		const child = lab.watchOnTerminal({ cols: 60, rows: 12 }, (text) => {
			screen = (screen + text).slice(-20_000);
		});
		/** The last whole picture. */
		const picture = () => screen.split("\x1b[H\x1b[J").at(-2) ?? "";
		try {
			await until(() => picture().includes("rule-00000"));
			const lines = Bun.stripANSI(picture()).trimEnd().split("\r\n");
			expect(lines).toHaveLength(11);
			expect(lines[0]).toStartWith("RULE");
			expect(lines[10]).toMatch(/^… \d+ more lines: make the terminal taller, or name a ru/);
			for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(60);
			await lab.stopService("stats-aggregator");
			await until(() => picture().includes("no figures for "));
			expect(picture()).not.toContain("rule-00000");
		} finally {
			child.kill("SIGINT");
			expect(await child.exited).toBe(0);
			await lab.stopService("stats-aggregator");
		}
	}, 30_000);
});
