import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { SnapshotEntry } from "@sluice/lib/kv-snapshot";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { type StoredRule, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { link } from "../reconcile/testing/world.ts";
import { DesiredRules, placementDigest } from "./desired-rules.ts";

const UID = "0f8fad5b-d9cb-469f-a165-70867728950e";

function stored(name: string, hosts: string[] = [], group = "239.1.1.1"): StoredRule {
	return create(StoredRuleSchema, {
		uid: UID,
		rule: {
			name,
			hosts,
			input: { interface: "r0", group, port: 5001 },
			outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
		},
	});
}

function host(name: string, ...interfaces: string[]): HostRecord {
	return create(HostRecordSchema, { host: name, interfaces: interfaces.map((each) => ({ name: each })) });
}

function make() {
	const rules = { entries: new Map<string, SnapshotEntry<StoredRule>>(), lastSequence: 0n };
	const hosts = { entries: new Map<string, SnapshotEntry<HostRecord>>(), lastSequence: 0n };
	const put = (rule: StoredRule) => {
		rules.lastSequence += 1n;
		rules.entries.set(rule.rule?.name ?? "", { value: rule, revision: rules.lastSequence, writtenUnixMs: 0 });
	};
	const join = (record: HostRecord) =>
		hosts.entries.set(record.host, { value: record, revision: 1n, writtenUnixMs: 0 });
	return {
		rules,
		hosts,
		put,
		join,
		desired: new DesiredRules({ host: "relay-a", labels: { site: "a" } }, rules, hosts),
	};
}

const withR0 = [link("r0", 2), link("r1", 3)];
const withoutR0 = [link("r1", 3)];

test("only rules that concern this host are desired, in order of their names, up to the bucket's sequence", () => {
	const { put, desired } = make();
	put(stored("c", ["relay-b"]));
	put(stored("b", ["relay-a"]));
	put(stored("a", ["all"]));
	const { sequence, rules, elsewhere } = desired.read(withR0);
	expect(rules.map(({ name }) => name)).toEqual(["a", "b"]);
	expect(elsewhere.map(({ name }) => name)).toEqual(["c"]);
	expect(sequence).toBe(3n);
});

test("without hosts a rule is the one host's that has the interface, by its links of now", () => {
	const { put, join, desired } = make();
	put(stored("a"));
	join(host("relay-a", "stale"));
	expect(desired.read(withR0).rules[0]?.held).toBeUndefined();
	join(host("relay-b", "r0"));
	expect(desired.read(withoutR0).rules).toEqual([]);
});

test("an interface that nobody has holds the rule everywhere, and one that two have names both", () => {
	const { put, join, desired } = make();
	put(stored("a"));
	expect(desired.read(withoutR0).rules[0]?.held).toBe("no interface r0 here");
	join(host("relay-b", "r0"));
	expect(desired.read(withR0).rules[0]?.held).toContain("relay-a, relay-b");
});

test("a rule with labels is desired where the host carries them", () => {
	const { put, join, desired } = make();
	const labelled = (name: string, site: string) => {
		const rule = stored(name);
		if (rule.rule) rule.rule.hostLabels = { site };
		return rule;
	};
	put(labelled("a", "a"));
	put(labelled("b", "b"));
	const held = () => desired.read(withoutR0).rules.map((rule) => [rule.name, rule.held]);
	expect(held()).toEqual([
		["a", undefined],
		["b", "no host carries site=b"],
	]);
	join(create(HostRecordSchema, { host: "relay-b", labels: { site: "b" } }));
	expect(held()).toEqual([["a", undefined]]);
});

test("an unchanged rule is translated once, a new revision anew", () => {
	const { put, desired } = make();
	put(stored("a"));
	const first = desired.read(withR0).rules[0];
	expect(desired.read(withR0).rules[0]).toBe(first as NonNullable<typeof first>);
	put(stored("a", [], "239.1.1.2"));
	expect(desired.read(withR0).rules[0]?.input.group).not.toBe(first?.input.group ?? 0);
});

test("heartbeats of other hosts change nothing, their interfaces, labels and protocols do", () => {
	const { hosts, join } = make();
	join(host("relay-b", "r0"));
	const before = placementDigest("relay-a", hosts);
	join(create(HostRecordSchema, { ...host("relay-b", "r0"), atUnixMs: 99n, appliedSequence: 7n }));
	join(host("relay-a", "r7"));
	expect(placementDigest("relay-a", hosts)).toBe(before);
	join(host("relay-b", "r0", "r1"));
	expect(placementDigest("relay-a", hosts)).not.toBe(before);
	const between = placementDigest("relay-a", hosts);
	join(create(HostRecordSchema, { ...host("relay-b", "r0", "r1"), labels: { site: "b" } }));
	expect(placementDigest("relay-a", hosts)).not.toBe(between);
	const labelled = placementDigest("relay-a", hosts);
	join(
		create(HostRecordSchema, { ...host("relay-b", "r0", "r1"), labels: { site: "b" }, protocolVersion: 1 }),
	);
	expect(placementDigest("relay-a", hosts)).not.toBe(labelled);
});
