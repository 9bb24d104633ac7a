import { describe, expect, test } from "bun:test";
import { CliLab, rulesFile } from "./cli-lab.ts";

const lab = await CliLab.ofFile();

const nobody = ["--host", "nobody"];

describe("a file", () => {
	test("of 1,000 rules shows its diff, is applied, and is a no-op the second time", async () => {
		const file = rulesFile(1_000);
		const dry = await lab.must(["apply", "-f", "-", "--dry-run"], file);
		expect(dry.split("\n").slice(0, 2)).toEqual(["+ rule-00000", "+ rule-00001"]);
		expect(dry).toEndWith("\n1000 added, 0 changed, 0 removed, 0 unchanged; dry run: nothing was written\n");
		expect(await lab.must(["rule", "list"])).toStartWith("no rules yet");
		expect(await lab.must(["apply", "-f", "-"], file)).toContain(
			"1000 added, 0 changed, 0 removed, 0 unchanged\n",
		);
		expect(await lab.must(["apply", "-f", "-"], file)).toBe(
			"0 added, 0 changed, 0 removed, 1000 unchanged\n",
		);
	});

	test("that an export has no room for is said to be cut, with exit code 1", async () => {
		await lab.must(["apply", "-f", "-"], rulesFile(1));
		expect(await lab.runInto("/dev/full", ["export"])).toEqual({
			exitCode: 1,
			stderr: expect.stringMatching(
				/^sluice: standard output cannot be written \(ENOSPC\): .*make room there/,
			),
		});
	});

	test("shows what changes field by field, and removes only with --prune", async () => {
		await lab.must(["apply", "-f", "-"], rulesFile(3));
		const changed = JSON.parse(rulesFile(2));
		changed.rules[0].outputs[0].ttl = 32;
		const text = JSON.stringify(changed);
		const unwritten = "; dry run: nothing was written\n";
		expect(await lab.must(["apply", "-f", "-", "--dry-run"], text)).toBe(
			`~ rule-00000  outputs[0].ttl: 16 -> 32\n0 added, 1 changed, 0 removed, 1 unchanged${unwritten}`,
		);
		expect(await lab.must(["apply", "-f", "-", "--prune", "--dry-run"], text)).toBe(
			`~ rule-00000  outputs[0].ttl: 16 -> 32\n- rule-00002\n0 added, 1 changed, 1 removed, 1 unchanged${unwritten}`,
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
			"sluice: rule rule-00000: PENDING on nobody: host is not known: start sluice there, or look at its log",
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
		const added = await lab.must(["apply", "-f", "-"], rulesFile(10_000));
		expect(added).toContain("\n10000 added, 0 changed, 0 removed, 0 unchanged\n");
		expect(await lab.must(["apply", "-f", "-"], rulesFile(10_000))).toBe(
			"0 added, 0 changed, 0 removed, 10000 unchanged\n",
		);
	});

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
