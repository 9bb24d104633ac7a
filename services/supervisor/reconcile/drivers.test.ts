import { describe, expect, test } from "bun:test";
import { planDrivers, planSuccessors } from "./drivers.ts";
import { driverKey } from "./keys.ts";
import { rule, World } from "./testing/world.ts";

const NONE = -1;

/** By home slot: who drives it. */
function interfaceOf(ifindex: number, ...drivers: number[]) {
	return {
		ifindex,
		ringBytes: 0,
		deaf: false,
		shards: drivers.map((slot) => ({ driver: slot === NONE ? undefined : { slot } })),
	};
}

function plan(
	interfaces: ReturnType<typeof interfaceOf>[],
	running: number[],
	most = 128,
	draining: number[] = [],
): string[] {
	return planDrivers(interfaces, running, most, draining).map(
		({ ifindex, shard, to }) => `${ifindex}/${shard} → ${to}`,
	);
}

describe("who drives which shard", () => {
	test("each worker its own; then there is nothing to do", () => {
		expect(plan([interfaceOf(2, NONE, NONE)], [0, 1])).toEqual(["2/0 → 0", "2/1 → 1"]);
		expect(plan([interfaceOf(2, 0, 1)], [0, 1])).toEqual([]);
	});

	test("those of a dead worker go to the survivors that drive the fewest", () => {
		const interfaces = [interfaceOf(2, 0, NONE, 2), interfaceOf(3, 0, NONE, 2), interfaceOf(4, 0, NONE, 2)];
		expect(plan(interfaces, [0, 2])).toEqual(["2/1 → 0", "3/1 → 2", "4/1 → 0"]);
	});

	test("they stay there until their own worker runs, and go back to it then", () => {
		expect(plan([interfaceOf(2, 0, 0)], [0])).toEqual([]);
		expect(plan([interfaceOf(2, 0, 0)], [0, 1])).toEqual(["2/1 → 1"]);
	});

	test("a worker that is cut off but has not ended keeps what it drives", () => {
		expect(plan([interfaceOf(2, 0, 1)], [0])).toEqual([]);
	});

	test("a worker that drains gives its own and others' away, and keeps them with nobody to take them", () => {
		const interfaces = [interfaceOf(2, 0, 1), interfaceOf(3, 0, 0)];
		expect(plan(interfaces, [1], 128, [0])).toEqual(["2/0 → 1", "3/0 → 1", "3/1 → 1"]);
		expect(plan([interfaceOf(2, 0)], [], 128, [0])).toEqual([]);
	});

	test("with no worker running, or none that has room, the rings hold", () => {
		expect(plan([interfaceOf(2, NONE, NONE)], [])).toEqual([]);
		expect(plan([interfaceOf(2, 0, NONE), interfaceOf(3, 0, NONE)], [0], 3)).toEqual(["2/1 → 0"]);
	});
});

describe("who goes on where a worker ends", () => {
	function planned(interfaces: ReturnType<typeof interfaceOf>[], running: number[], draining: number[] = []) {
		return [...planSuccessors(interfaces, running, 128, draining)].flatMap(([ifindex, shards]) =>
			[...shards].map(([shard, to]) => `${ifindex}/${shard} → ${to}`),
		);
	}

	test("the one that it would go to without its driver", () => {
		expect(planned([interfaceOf(2, 0, 1)], [0, 1])).toEqual(["2/0 → 1", "2/1 → 0"]);
		expect(planned([interfaceOf(2, 0, 1, 2), interfaceOf(3, 0, 1, 2)], [0, 1, 2])).toEqual([
			"2/0 → 1",
			"2/1 → 0",
			"2/2 → 0",
			"3/0 → 2",
			"3/1 → 2",
			"3/2 → 1",
		]);
	});

	test("its own worker again when that runs, and nobody that drains", () => {
		expect(planned([interfaceOf(2, 1, 1)], [0, 1])).toEqual(["2/0 → 0", "2/1 → 0"]);
		expect(planned([interfaceOf(2, 0, 1, 2)], [0, 2], [1])).toEqual(["2/0 → 2", "2/1 → 0", "2/2 → 0"]);
	});

	test("nobody for shards without a driver, nor when nobody else runs", () => {
		expect(planned([interfaceOf(2, NONE, 1)], [1])).toEqual([]);
		expect(planned([interfaceOf(2, 0, 0)], [0])).toEqual([]);
	});
});

describe("reconciling", () => {
	test("a worker's shards go to the survivor when it dies and come back when its successor runs", () => {
		const world = new World();
		world.settle(rule("a"));
		world.end(1);
		expect(world.settle(rule("a")).text).toEqual(["hand #2/1 to 0"]);
		world.workers = [
			{ slot: 0, phase: "running" },
			{ slot: 1, phase: "connected" },
		];
		expect(world.settle(rule("a")).text).toEqual(["welcome 1"]);
		expect(world.open.shards.get(2)?.shards.map(({ driver }) => driver?.slot)).toEqual([0, 1]);
	});

	test("what a survivor refuses is tried again later, and the rule goes on", () => {
		const world = new World();
		world.settle(rule("a"));
		world.end(1);
		world.refuse.set(driverKey(2, 1), "no memory");
		expect(world.settle(rule("a")).rules).toMatchObject([{ state: "ACTIVE" }]);
		world.refuse.clear();
		expect(world.settle(rule("a")).text).toEqual([]);
		world.nowMs += 250;
		expect(world.settle(rule("a")).text).toEqual(["hand #2/1 to 0"]);
	});
});
