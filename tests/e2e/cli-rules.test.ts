import { describe, expect, test } from "bun:test";
import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import { until } from "@sluice/lib/testing/until";
import { RuleStatus_State as State } from "@sluice/proto/gen/rule";
import { CliLab, rulesFile } from "./cli-lab.ts";

const lab = await CliLab.ofFile();

/** More than any revision a test reaches: the host has always applied everything. */
const EVERYTHING = 1_000_000n;
const interfaces = [
	{ name: "r0", up: true },
	{ name: "r1", up: true },
];
const video = ["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"];
const nobody = ["--host", "nobody"];
const unknown = "host is not known: start sluice there, or look at its log";

describe("a rule", () => {
	test("is added, listed, shown, replaced in place and removed", async () => {
		expect(await lab.must(["rule", "add", "video", ...video, ...nobody])).toBe(
			`rule video: PENDING on nobody: ${unknown}\n`,
		);
		expect(await lab.must(["rule", "list"])).toContain(
			"video  r0:239.1.1.1:5001  r1:239.10.1.1:6001  PENDING on nobody",
		);
		expect(await lab.run(["rule", "set", "video", ...video, ...nobody, "--json"])).toMatchObject({
			exitCode: 0,
			stdout: expect.stringContaining(`"reason":"${unknown}"`),
			stderr: `sluice: rule video: PENDING on nobody: ${unknown}\n`,
		});
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
	});
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
				// It has to come so far as to wait.
				"2.5",
			]);
			expect(outcome.exitCode).toBe(1);
			expect(outcome.stderr).toBe(
				"sluice: rule video: no answer from relay-d in 2.5 s: the rule stays, see sluice rule show video\n",
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
			"2.5",
		]);
		expect(outcome.exitCode).toBe(1);
		expect(outcome.stdout).toMatch(/^rule video: PENDING on relay-f: host not seen for \d+ s\n$/);
		expect(outcome.stderr).toStartWith("sluice: rule video: no answer from relay-f in 2.5 s: ");
	});
});
