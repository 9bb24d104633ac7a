import { expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { silentLog } from "./apply/testing/fake-host.ts";
import { rule, World } from "./reconcile/testing/world.ts";
import type { Command, Desired, RuleState } from "./reconcile/types.ts";
import { Reconciler } from "./reconciler.ts";

interface Settled {
	readonly sequence: bigint;
	readonly rules: readonly RuleState[];
}

/** A reconciler over a world in memory, whose rounds the test can hold. */
function make(look: () => void = () => {}) {
	const world = new World();
	const settled: Settled[] = [];
	const gate = { hold: Promise.resolve(), reached: 0 };
	let desired: Desired = { sequence: 0n, rules: [] };
	let wake: () => void = () => {};
	const reconciler = new Reconciler({
		desired: () => {
			look();
			return desired;
		},
		observe: () => world.observed(),
		execute: async (commands: readonly Command[]) => {
			gate.reached += 1;
			await gate.hold;
			world.execute(commands);
		},
		settled: (rules, { sequence }) => {
			settled.push({ rules, sequence });
			wake();
		},
		log: silentLog,
	});
	void reconciler.run();
	return {
		world,
		gate,
		settled,
		desire: (next: Desired) => {
			desired = next;
			reconciler.poke();
		},
		/** The same, by a rule. */
		change: (next: Desired, more?: boolean) => {
			desired = next;
			reconciler.rulesChanged(more);
		},
		/** Waits until that sequence is applied. */
		applied: async (sequence: bigint) => {
			while (settled.at(-1)?.sequence !== sequence) await new Promise<void>((resolve) => (wake = resolve));
		},
		reconciler,
	};
}

test("a sequence counts as applied once everything up to it is in place", async () => {
	const { world, desire, applied, settled } = make();
	desire({ sequence: 5n, rules: [rule("a")] });
	await applied(5n);
	expect(world.open.memberships.size).toBe(1);
	expect(settled.at(-1)?.rules).toEqual([{ name: "a", state: "ACTIVE", reason: "" }]);
});

test("it advances for rules of other hosts and for removals", async () => {
	const { world, desire, applied } = make();
	desire({ sequence: 5n, rules: [rule("a")] });
	await applied(5n);
	desire({ sequence: 6n, rules: [rule("a")] });
	await applied(6n);
	desire({ sequence: 7n, rules: [] });
	await applied(7n);
	expect(world.open.shards.size).toBe(0);
});

test("it advances over a rule that is refused: that stands in the states", async () => {
	const { world, desire, applied, settled } = make();
	world.refuse.set("shards/2", "refused");
	desire({ sequence: 5n, rules: [rule("a"), rule("b", { in: "r2" })] });
	await applied(5n);
	expect(settled.at(-1)?.rules.map(({ state }) => state)).toEqual(["FAILED", "ACTIVE"]);
});

test("what changes during a round is not part of what that round applied, and makes one next round", async () => {
	const { gate, desire, applied, settled } = make();
	const hold = Promise.withResolvers<void>();
	gate.hold = hold.promise;
	desire({ sequence: 5n, rules: [rule("a")] });
	await until(() => gate.reached > 0);
	for (let sequence = 6n; sequence <= 20n; sequence += 1n) {
		desire({ sequence, rules: [rule("a"), rule("b", { port: Number(sequence) })] });
	}
	hold.resolve();
	await applied(20n);
	expect(settled.map(({ sequence }) => sequence)).toEqual([5n, 20n]);
});

test("a refused command is retried by itself when its time has come", async () => {
	const { world, desire, applied, settled } = make();
	world.nowMs = performance.now();
	world.refuse.set("shards/2", "refused");
	desire({ sequence: 5n, rules: [rule("a")] });
	await applied(5n);
	expect(settled.at(-1)?.rules[0]?.state).toBe("FAILED");
	world.refuse.clear();
	// The world's clock stands still unless told; the timer's does not.
	world.nowMs += 250;
	const deadline = performance.now() + 10_000;
	while (settled.at(-1)?.rules[0]?.state !== "ACTIVE" && performance.now() < deadline) await Bun.sleep(10);
	expect(settled.at(-1)?.rules[0]?.state).toBe("ACTIVE");
});

test("a stopped reconciler begins no further round", async () => {
	const { desire, applied, settled, reconciler } = make();
	desire({ sequence: 1n, rules: [] });
	await applied(1n);
	reconciler.stop();
	desire({ sequence: 2n, rules: [] });
	// Time enough for a round that must not come.
	await Bun.sleep(5);
	expect(settled).toHaveLength(1);
});

/** As with very many rules: a look at them takes its time. */
function slowLook() {
	const spent = { looks: 0, ms: 0 };
	const look = () => {
		const beganMs = performance.now();
		while (performance.now() < beganMs + 20);
		spent.looks += 1;
		spent.ms += performance.now() - beganMs;
	};
	return { spent, look };
}

test("while rules keep coming, most of the time is not spent looking at them", async () => {
	const { spent, look } = slowLook();
	const { change, applied, reconciler } = make(look);
	const beganMs = performance.now();
	let sequence = 0n;
	while (performance.now() < beganMs + 600) {
		sequence += 1n;
		change({ sequence, rules: [rule("a")] });
		await Bun.sleep(1);
	}
	expect(spent.looks).toBeGreaterThan(1);
	expect(spent.ms / (performance.now() - beganMs)).toBeLessThan(0.5);
	await applied(sequence);
	reconciler.stop();
});

test("amid an edit of which more is announced rules are looked at seldom, and at its end at once", async () => {
	const { spent, look } = slowLook();
	const { change, applied, settled, reconciler } = make(look);
	const beganMs = performance.now();
	change({ sequence: 1n, rules: [] });
	await applied(1n);
	// So many that a guess by how long none has come, or a rest by how long a look takes, would end in between.
	for (let sequence = 2n; sequence <= 6n; sequence += 1n) {
		change({ sequence, rules: [rule("a")] }, true);
		await Bun.sleep(100);
	}
	expect(spent.looks).toBeLessThanOrEqual(2 + Math.floor((performance.now() - beganMs) / 1_000));
	change({ sequence: 7n, rules: [rule("a")] }, false);
	await applied(7n);
	expect(settled.map(({ sequence }) => sequence)).toContain(7n);
	reconciler.stop();
});

test("what is not a rule's change does not wait for that rest", async () => {
	const { spent, look } = slowLook();
	const { desire, applied, reconciler } = make(look);
	// With a rest of four times as long before each it would be less than a quarter.
	const beganMs = performance.now();
	for (let sequence = 1n; sequence < 12n; sequence += 1n) {
		desire({ sequence, rules: [] });
		await applied(sequence);
	}
	expect(spent.ms / (performance.now() - beganMs)).toBeGreaterThan(0.4);
	reconciler.stop();
});
