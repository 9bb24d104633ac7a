import { expect, test } from "bun:test";
import { isCalm, type Plan, planRound, RULE_SLOTS, WORKERS } from "./plan.ts";

function plan(seed: number, round = 1, calm = false): Plan {
	return planRound({ seed, round, loadMs: 20_000, calm });
}

const plans = Array.from({ length: 200 }, (_, round) => plan(42, round));

test("a seed repeats a round to the letter; other seeds and rounds differ", () => {
	expect(plan(5)).toEqual(plan(5));
	expect(plan(5)).not.toEqual(plan(6));
	expect(plan(5, 1)).not.toEqual(plan(5, 2));
});

test("rules are added when absent, set and removed when present", () => {
	for (const { rules } of plans) {
		const present = new Set<number>();
		for (const action of rules) {
			if (action.kind === "many-rules") continue;
			expect(action.slot).toBeLessThan(RULE_SLOTS);
			expect(present.has(action.slot)).toBe(action.kind !== "add-rule");
			if (action.kind === "remove-rule") present.delete(action.slot);
			else present.add(action.slot);
		}
	}
});

test("every kind of action comes up, in order of time and before the load ends", () => {
	const kinds = new Set<string>();
	for (const { rules, processes } of plans) {
		for (const actions of [rules, processes]) {
			const at = actions.map(({ atMs }) => atMs);
			expect(at).toEqual(at.toSorted((a, b) => a - b));
			expect(at.at(-1) ?? 0).toBeLessThan(18_000);
		}
		for (const action of [...rules, ...processes]) kinds.add(action.kind);
		for (const action of processes) if ("worker" in action) expect(action.worker).toBeLessThan(WORKERS);
	}
	expect([...kinds].sort()).toEqual([
		...["add-rule", "end-worker", "freeze-nats", "kill-service", "many-rules"],
		...["remove-rule", "restart-worker", "set-rule"],
	]);
});

test("nothing is killed in a calm round; the same rules come and go", () => {
	expect(plan(5, 1, true)).toEqual({ rules: plan(5, 1).rules, processes: [] });
});

test("the first round and the last third are calm", () => {
	const calm = Array.from({ length: 9 }, (_, round) => isCalm(round, 9));
	expect(calm).toEqual([true, false, false, false, false, false, true, true, true]);
});
