import { expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { RuleStatus_State, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { type ObservedHost, ruleStatus } from "./rule-status.ts";

const { ACTIVE, FAILED, PENDING, STANDBY } = RuleStatus_State;

function observed(
	record: MessageInitShape<typeof HostRecordSchema>,
	lastSeenSeconds = 0,
): [string, ObservedHost] {
	const full = create(HostRecordSchema, { host: "a", interfaces: [{ name: "r0" }], ...record });
	return [full.host, { record: full, lastSeenSeconds }];
}

function states(hosts: [string, ObservedHost][], named: string[] = []): [string, RuleStatus_State, string][] {
	const rule = { name: "video", input: { interface: "r0" }, hosts: named };
	const stored = create(StoredRuleSchema, { rule, uid: "u" });
	const status = ruleStatus("video", stored, 7n, new Map(hosts));
	return status.hosts.map((state) => [state.host, state.state, state.reason]);
}

test("a host that applied the revision and says nothing of the rule is active", () => {
	expect(states([observed({ appliedSequence: 7n })])).toEqual([["a", ACTIVE, ""]]);
	expect(states([observed({ appliedSequence: 9n })])).toEqual([["a", ACTIVE, ""]]);
});

test("before that it is pending, whatever was said of the revision before", () => {
	const exceptions = [{ name: "video", state: FAILED, reason: "old" }];
	expect(states([observed({ appliedSequence: 6n, exceptions })])).toEqual([
		["a", PENDING, "not applied yet"],
	]);
});

test("an exception is told with its reason", () => {
	for (const state of [PENDING, FAILED, STANDBY]) {
		const exceptions = [{ name: "other" }, { name: "video", state, reason: "because" }];
		expect(states([observed({ appliedSequence: 7n, exceptions })])).toEqual([["a", state, "because"]]);
	}
});

test("a host that is gone, one that was stopped, one that is unknown and one that need not be there", () => {
	expect(states([observed({ appliedSequence: 7n }, 4.9)])).toEqual([["a", PENDING, "host not seen for 4 s"]]);
	expect(states([observed({ appliedSequence: 7n, stopped: true })])).toEqual([
		["a", PENDING, "host was stopped"],
	]);
	expect(states([], ["z"])).toEqual([
		["z", PENDING, "host is not known: start sluice there, or look at its log"],
	]);
	expect(states([observed({ appliedSequence: 7n, interfaces: [] })])).toEqual([
		["a", PENDING, "no interface r0 here"],
	]);
	expect(states([])).toEqual([]);
});

test("a host of another protocol version is pending with both named, whatever it says", () => {
	expect(states([observed({ protocolVersion: 1 }, 9)])).toEqual([
		[
			"a",
			PENDING,
			"host not seen for 9 s: this host speaks protocol 1 and the cluster 2: bring this host up to it",
		],
	]);
	expect(states([observed({ appliedSequence: 7n, protocolVersion: 1 })])).toEqual([
		["a", PENDING, "this host speaks protocol 1 and the cluster 2: bring this host up to it"],
	]);
});

test("several hosts that match all wait with what to do", () => {
	const reason = "hosts a, b match: name one, or all";
	const both = [observed({ appliedSequence: 7n }), observed({ host: "b", appliedSequence: 7n })];
	expect(states(both)).toEqual([
		["a", PENDING, reason],
		["b", PENDING, reason],
	]);
	expect(states(both, ["all"])).toEqual([
		["a", ACTIVE, ""],
		["b", ACTIVE, ""],
	]);
});

test("of hosts that match it says which of them only the others remember", () => {
	const waiting = (reason: string) =>
		observed({ appliedSequence: 7n, exceptions: [{ name: "video", state: PENDING, reason }] });
	const reason = "hosts a, b, c and 2 more match: name one, or all";
	expect(states([waiting(reason)])).toEqual([["a", PENDING, `${reason} (b, c: remembered, not seen)`]]);
	const other = observed({ host: "b", appliedSequence: 7n, interfaces: [] });
	const both = "hosts a, b match: name one, or all";
	expect(states([waiting(both), other])).toEqual([["a", PENDING, both]]);
});
