import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type ObservedHost, ruleStatus } from "@sluice/lib/rule-status";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { RuleStatus_State, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { isSettled, judge } from "./settle.ts";

// The statuses come from the library that control-api answers with, so that its
// words for "no answer yet" and ours are the same.
const stored = create(StoredRuleSchema, {
	uid: "u",
	rule: { name: "video", input: { interface: "r0" }, hosts: ["relay-a"] },
});

function statusWith(
	observed: Partial<ObservedHost> & {
		applied?: bigint;
		pending?: string;
		failed?: string;
		stopped?: boolean;
	},
) {
	const exceptions = [
		...(observed.pending
			? [{ name: "video", state: RuleStatus_State.PENDING, reason: observed.pending }]
			: []),
		...(observed.failed ? [{ name: "video", state: RuleStatus_State.FAILED, reason: observed.failed }] : []),
	];
	const record = create(HostRecordSchema, {
		host: "relay-a",
		appliedSequence: observed.applied ?? 7n,
		exceptions,
		interfaces: [{ name: "r0" }],
		stopped: observed.stopped ?? false,
	});
	const hosts = new Map([["relay-a", { record, lastSeenSeconds: observed.lastSeenSeconds ?? 0 }]]);
	return ruleStatus("video", stored, 7n, hosts);
}

const awaited = { name: "video", revision: 7n };

test("ACTIVE settles a write", () => {
	expect(isSettled(awaited, statusWith({}))).toBe(true);
});

test("a host that has not applied the revision is waited for", () => {
	const status = statusWith({ applied: 6n });
	expect(isSettled(awaited, status)).toBe(false);
	expect(judge(awaited, status).unanswered.map((host) => host.host)).toEqual(["relay-a"]);
});

test("PENDING with a reason of the host's own settles a write", () => {
	expect(isSettled(awaited, statusWith({ pending: "no interface r9 here" }))).toBe(true);
});

test("a silent host has not answered", () => {
	expect(isSettled(awaited, statusWith({ lastSeenSeconds: 60 }))).toBe(false);
});

test("FAILED settles a write and is named", () => {
	const status = statusWith({ failed: "out of memory" });
	expect(isSettled(awaited, status)).toBe(true);
	expect(judge(awaited, status).failed.map((host) => host.reason)).toEqual(["out of memory"]);
});

test("a status of an earlier revision answers nothing", () => {
	const status = statusWith({});
	expect(isSettled({ name: "video", revision: 8n }, status)).toBe(false);
});

test("neither a host nobody knows yet is a reason to wait nor one that was stopped", () => {
	expect(isSettled(awaited, ruleStatus("video", stored, 7n, new Map()))).toBe(true);
	expect(isSettled(awaited, statusWith({ stopped: true, applied: 6n }))).toBe(true);
});
