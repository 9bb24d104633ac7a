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
function make() {
	const world = new World();
	const settled: Settled[] = [];
	const gate = { hold: Promise.resolve(), reached: 0 };
	let desired: Desired = { sequence: 0n, rules: [] };
	let wake: () => void = () => {};
	const reconciler = new Reconciler({
		desired: () => desired,
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
	world.nowMs = Date.now();
	world.refuse.set("shards/2", "refused");
	desire({ sequence: 5n, rules: [rule("a")] });
	await applied(5n);
	expect(settled.at(-1)?.rules[0]?.state).toBe("FAILED");
	world.refuse.clear();
	// The world's clock stands still unless told; the timer's does not.
	world.nowMs += 250;
	const deadline = Date.now() + 10_000;
	while (settled.at(-1)?.rules[0]?.state !== "ACTIVE" && Date.now() < deadline) await Bun.sleep(10);
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
