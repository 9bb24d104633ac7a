import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type RuleStatus, RuleStatus_State, RuleStatusSchema } from "@sluice/proto/gen/rule";
import { formatWaiting } from "./states.ts";

const { ACTIVE, PENDING } = RuleStatus_State;

function status(name: string, ...states: [string, RuleStatus_State, string?][]): RuleStatus {
	const hosts = states.map(([host, state, reason = ""]) => ({ host, state, reason }));
	return create(RuleStatusSchema, { name, hosts });
}

test("beside a JSON answer each rule that waits has one line, the others none", () => {
	const statuses = [
		status("flows", ["a", ACTIVE]),
		status("waits", ["a", ACTIVE], ["b", PENDING, "no interface r0 here"]),
		status("lost"),
	];
	expect(formatWaiting(statuses)).toEqual([
		"rule waits: ACTIVE on a; PENDING on b: no interface r0 here",
		"rule lost: PENDING: no host is known yet",
	]);
	expect(formatWaiting(statuses.slice(0, 1))).toEqual([]);
});

test("more than twenty are counted", () => {
	const many = Array.from({ length: 23 }, (_, k) => status(`rule-${k}`, ["a", PENDING, "not applied yet"]));
	const lines = formatWaiting(many);
	expect(lines).toHaveLength(21);
	expect(lines[20]).toBe("3 more rules are not ACTIVE everywhere: see sluice rule list");
	expect(formatWaiting(many.slice(2))[20]).toBe("1 more rule is not ACTIVE everywhere: see sluice rule list");
});

test("a reason stays one line", () => {
	const lines = formatWaiting([status("waits", ["a", PENDING, "no\nrule other: ACTIVE on b"])]);
	expect(lines).toEqual(["rule waits: PENDING on a: no\u{fffd}rule other: ACTIVE on b"]);
});
