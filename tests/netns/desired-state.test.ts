import { expect, test } from "bun:test";
import { until } from "./lab/commands.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"]);

function rules(count: number) {
	return Array.from({ length: count }, (_, index) => ({
		name: `rule-${String(index).padStart(4, "0")}`,
		input: { interface: "r0", group: `239.1.${index >> 8}.${index & 255}`, port: 5001 },
		outputs: [{ interface: "r1", address: `239.2.${index >> 8}.${index & 255}`, port: 6001, ttl: 8 }],
	}));
}

const THOUSAND = rules(1_001).slice(1);

test("apply of 1,000 rules shows a diff first, applies, and is a no-op the second time", async () => {
	const text = JSON.stringify({ rules: THOUSAND });
	const dry = await relay.cliWith(text, "apply", "-f", "-", "--dry-run");
	expect(dry.code).toBe(0);
	expect(dry.stdout).toContain("+ rule-0001");
	expect(dry.stdout).toContain("1000 added");
	expect(await relay.rules()).toHaveLength(0);

	const applied = await relay.cliWith(text, "apply", "-f", "-", "--timeout", "30");
	expect(applied.stderr).toBe("");
	expect(applied.code).toBe(0);
	const first = await relay.rules();
	expect(first).toHaveLength(1_000);
	expect(new Set(first.flatMap((rule) => rule.hosts.map((host) => host.state)))).toEqual(new Set(["ACTIVE"]));

	const again = await relay.cliWith(text, "apply", "-f", "-");
	expect(again.stdout).toContain("1000 unchanged");
	const second = await relay.rules();
	expect(second.map((rule) => rule.revision)).toEqual(first.map((rule) => rule.revision));
});

test("export | apply -f - is the identity", async () => {
	const exported = await relay.sluice("export");
	const before = await relay.rules();
	const applied = await relay.cliWith(exported, "apply", "-f", "-", "--prune");
	expect(applied.code).toBe(0);
	expect(applied.stdout).toContain("1000 unchanged");
	expect(await relay.rules()).toEqual(before);
	expect(await relay.sluice("export")).toBe(exported);
});

test("the diff names the field that changes", async () => {
	const changed = THOUSAND.map((rule, index) =>
		index === 4 ? { ...rule, outputs: rule.outputs.map((output) => ({ ...output, ttl: 32 })) } : rule,
	);
	const dry = await relay.cliWith(JSON.stringify({ rules: changed }), "apply", "-f", "-", "--dry-run");
	expect(dry.stdout).toContain("rule-0005");
	expect(dry.stdout).toContain("outputs[0].ttl: 8 -> 32");
	expect(dry.stdout).toContain("1 changed");
});

test("rule set edits in place: same uid, next revision, and the datagrams follow", async () => {
	const before = (await relay.rules()).find((rule) => rule.name === "rule-0007");
	await relay.sluice(
		"rule",
		"set",
		"rule-0007",
		"--in",
		"r0:239.1.0.7:5001",
		"--out",
		"r2:239.3.0.7:6007,ttl=9",
	);
	const after = (await relay.rules()).find((rule) => rule.name === "rule-0007");
	expect(after?.uid).toBe(before?.uid ?? "");
	expect(Number(after?.revision)).toBeGreaterThan(Number(before?.revision));
	const receiver = await recv(lab.dst, { in: "d1:239.3.0.7:6007", expect: 100 });
	await gen(lab.src, { to: "s0:239.1.0.7:5001", rate: 1_000, count: 100 });
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.streams[0]).toMatchObject({ receivedPackets: 100, ttl: 9 });
});

test("up stopped and started: the rules are back and flow, unasked", async () => {
	const before = await relay.rules();
	expect(await relay.down()).toBe(0);
	await relay.up("--workers", "2");
	await until("all 1,000 rules are ACTIVE again", async () => {
		const rules = await relay.rules();
		return rules.length === 1_000 &&
			rules.every((rule) => rule.hosts.every((host) => host.state === "ACTIVE"))
			? true
			: undefined;
	});
	const revisions = (states: { name: string; uid: string; revision: string }[]) =>
		states.map(({ name, uid, revision }) => ({ name, uid, revision }));
	expect(revisions(await relay.rules())).toEqual(revisions(before));
	const receiver = await recv(lab.dst, { in: "d0:239.2.3.231:6001", expect: 1_000 });
	await gen(lab.src, { to: "s0:239.1.3.231:5001", rate: 2_000, count: 1_000 });
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(1_000);
});
