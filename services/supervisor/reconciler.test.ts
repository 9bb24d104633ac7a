import { afterEach, expect, jest, test } from "bun:test";
import { pass } from "@sluice/lib/testing/clock";
import { until } from "@sluice/lib/testing/until";
import { silentLog } from "./apply/testing/fake-host.ts";
import { rule, World } from "./reconcile/testing/world.ts";
import type { Command, Desired, RuleState } from "./reconcile/types.ts";
import { Reconciler } from "./reconciler.ts";

interface Settled {
	readonly sequence: bigint;
	readonly rules: readonly RuleState[];
}

type Wished = Omit<Desired, "elsewhere">;

/** A reconciler over a world in memory, whose rounds the test can hold. */
function make(look: () => void = () => {}) {
	const world = new World();
	const settled: Settled[] = [];
	const gate = { hold: Promise.resolve(), reached: 0 };
	let desired: Desired = { sequence: 0n, rules: [], elsewhere: [] };
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
	const ended = reconciler.run();
	const told = async (so: () => boolean) => {
		while (!so()) await new Promise<void>((resolve) => (wake = resolve));
	};
	return {
		world,
		gate,
		settled,
		desire: (next: Wished) => {
			desired = { ...next, elsewhere: [] };
			reconciler.poke();
		},
		/** The same, by a rule. */
		change: (next: Wished, more?: boolean) => {
			desired = { ...next, elsewhere: [] };
			reconciler.rulesChanged(more);
		},
		/** Waits until that sequence is applied. */
		applied: (sequence: bigint) => told(() => settled.at(-1)?.sequence === sequence),
		reconciler,
		ended,
	};
}

afterEach(() => void jest.useRealTimers());

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
	jest.useFakeTimers();
	const { world, desire, settled } = make();
	const states = () => settled.map(({ rules }) => rules[0]?.state);
	world.nowMs = performance.now();
	world.refuse.set("shards/2", "refused");
	desire({ sequence: 5n, rules: [rule("a")] });
	await pass(0);
	world.refuse.clear();
	world.nowMs += 250;
	await pass(249);
	expect(states()).toEqual(["FAILED"]);
	await pass(1);
	expect(states()).toEqual(["FAILED", "ACTIVE"]);
});

test("a stopped reconciler begins no further round", async () => {
	const { desire, applied, settled, reconciler, ended } = make();
	desire({ sequence: 1n, rules: [] });
	await applied(1n);
	reconciler.stop();
	desire({ sequence: 2n, rules: [] });
	await ended;
	expect(settled).toHaveLength(1);
});

const LOOK_MS = 20;

/** As with very many rules: a look at them takes its time, which the clock stands still but for. */
function slowLook() {
	jest.useFakeTimers();
	const spent = { looks: 0 };
	const look = () => {
		spent.looks += 1;
		jest.advanceTimersByTime(LOOK_MS);
	};
	return { spent, look };
}

test("while rules keep coming each look is followed by four times as long without one, and after them by twice", async () => {
	const { spent, look } = slowLook();
	const { change, settled, reconciler } = make(look);
	for (let sequence = 1n; sequence <= 330n; sequence += 1n) {
		change({ sequence, rules: [rule("a")] });
		await pass(1);
	}
	expect(settled.map(({ sequence }) => sequence)).toEqual([1n, 81n, 161n, 241n, 321n]);
	await pass(2 * LOOK_MS - 2);
	expect(spent.looks).toBe(5);
	await pass(1);
	expect([spent.looks, settled.at(-1)?.sequence]).toEqual([6, 330n]);
	reconciler.stop();
});

test("amid an edit of which more is announced rules are looked at once a second, and at its end at once", async () => {
	const { spent, look } = slowLook();
	const { change, settled, reconciler } = make(look);
	change({ sequence: 1n, rules: [] });
	await pass(0);
	// So far apart that a guess by how long none has come, or a rest by how long a look takes, would end in between.
	for (let sequence = 2n; sequence <= 26n; sequence += 1n) {
		change({ sequence, rules: [rule("a")] }, true);
		await pass(100);
	}
	expect(spent.looks).toBe(3);
	change({ sequence: 27n, rules: [rule("a")] }, false);
	await pass(0);
	expect(settled.map(({ sequence }) => sequence)).toEqual([1n, 11n, 21n, 27n]);
	reconciler.stop();
});

test("what is not a rule's change does not wait for that rest", async () => {
	const { spent, look } = slowLook();
	const { desire, settled, reconciler } = make(look);
	for (let sequence = 1n; sequence <= 11n; sequence += 1n) {
		desire({ sequence, rules: [] });
		await pass(0);
	}
	expect([spent.looks, settled.length]).toEqual([11, 11]);
	reconciler.stop();
});
