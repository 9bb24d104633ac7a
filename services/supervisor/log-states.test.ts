import { expect, test } from "bun:test";
import { createLogger } from "@sluice/lib/log";
import { until } from "@sluice/lib/testing/until";
import { StateLog } from "./log-states.ts";
import type { RuleState } from "./reconcile/types.ts";

function lines(before: readonly RuleState[], now: readonly RuleState[]): Record<string, unknown>[] {
	const written: Record<string, unknown>[] = [];
	const logger = createLogger({
		service: "test",
		destination: { write: (line) => written.push(JSON.parse(line)) },
	});
	new StateLog(logger.facility("reconcile")).tell(before, now);
	return written;
}

const active = (name: string): RuleState => ({ name, state: "ACTIVE", reason: "" });
const failed = (name: string): RuleState => ({ name, state: "FAILED", reason: "refused" });

test("a change is one line, no change none", () => {
	expect(
		lines([active("a"), active("b"), active("gone")], [active("a"), failed("b"), active("c")]),
	).toMatchObject([
		{ level: "warn", rule: "b", msg: "rule is FAILED", reason: "refused" },
		{ level: "info", rule: "c", msg: "rule is ACTIVE" },
		{ level: "info", rule: "gone", msg: "rule is gone" },
	]);
	expect(lines([active("a"), failed("b")], [active("a"), failed("b")])).toEqual([]);
});

test("many changes are numbers, and refusals are told all the same", () => {
	const many = Array.from({ length: 1_000 }, (_, index) => active(`rule-${index}`));
	expect(lines([active("gone")], [...many, failed("b")])).toMatchObject([
		{ level: "warn", rule: "b" },
		{ level: "info", active: 1_000, pending: 0, failed: 1, gone: 1, msg: "rules changed" },
	]);
});

test("rules on an interface that flaps are some lines, and one that says how often and how each was last", async () => {
	const written: Record<string, unknown>[] = [];
	const logger = createLogger({
		service: "test",
		destination: { write: (line) => written.push(JSON.parse(line)) },
	});
	const log = new StateLog(logger.facility("reconcile"), { lines: 3, restMs: 500 });
	const pending: RuleState = { name: "a", state: "PENDING", reason: "r0 is down" };
	for (let flap = 0; flap < 50; flap += 1) {
		log.tell([active("a")], [pending]);
		log.tell([pending], [active("a")]);
	}
	log.tell([active("a")], [failed("a")]);
	await until(() => written.length > 4);
	expect(written).toMatchObject([
		{ rule: "a", state: "PENDING", reason: "r0 is down" },
		{ rule: "a", state: "ACTIVE" },
		{ rule: "a", state: "PENDING" },
		{ level: "warn", rule: "a", state: "FAILED" },
		{ msg: "rules changed too often to tell each time", changes: 97, last: ["a is ACTIVE"] },
	]);
});
