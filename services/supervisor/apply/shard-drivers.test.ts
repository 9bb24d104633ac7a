import { describe, expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { fail, makeApplier, ruleA, ruleB } from "./testing/applier.ts";

const ENOTCONN = 107;

describe("a worker that drains", () => {
	test("lets go of its shard before the other gets it, and rounds leave it at that", async () => {
		const { host, open, drivers, settle } = makeApplier();
		await settle(ruleA);
		host.takeMessages();
		host.drainingSlots.add(1);
		await drivers.vacate();
		expect(host.takeMessages()).toEqual(["1 detach", "0 attach"]);
		await settle(ruleA, ruleB);
		expect(host.takeMessages().filter((message) => /shard|attach|detach/.test(message))).toEqual([]);
		expect(open.shards.get(2)?.shards.map(({ driver }) => driver?.slot)).toEqual([0, 0]);
		expect(host.running()).toHaveLength(2);
	});

	test("keeps what it drives when there is nobody to take it", async () => {
		const { host, open, drivers, settle } = makeApplier(1);
		await settle(ruleA);
		host.takeMessages();
		host.drainingSlots.add(0);
		await drivers.vacate();
		await settle(ruleA);
		expect(host.takeMessages()).toEqual([]);
		expect(open.shards.get(2)?.shards[0]?.driver?.slot).toBe(0);
	});
});

describe("a worker that ends", () => {
	test("what it was just about to count is counted in its own memory, before another takes its shards", async () => {
		const { host, open, settle } = makeApplier();
		await settle(ruleA);
		const shard = open.shards.get(2)?.shards[1] ?? fail();
		host.takeMessages();
		host.end(1);
		expect(host.settled.map(([state]) => state)).toEqual([shard.state]);
		expect(host.descriptors.get(host.settled[0]?.[1] ?? -1)).toBe("counters");
		expect(host.takeMessages()).toEqual([]);
		await until(() => host.messages.length > 0);
		expect(host.takeMessages()).toEqual(["0 attach"]);
	});

	test("its shards go to the survivor at once, though a round is under way", async () => {
		const { host, open, settle } = makeApplier();
		await settle(ruleA);
		host.silent.add("table");
		host.takeMessages();
		const round = settle(ruleA, ruleB);
		await until(() => ["0 table", "1 table"].every((message) => host.messages.includes(message)));
		host.takeMessages();
		host.end(1);
		await until(() => host.messages.length > 0);
		expect(host.takeMessages()).toEqual(["0 attach"]);
		expect(open.shards.get(2)?.shards.map(({ driver }) => driver?.slot)).toEqual([0, 0]);
		host.end(0);
		await round;
	});

	test("one that is only cut off keeps its shards until its process has ended", async () => {
		const { host, open, settle } = makeApplier();
		await settle(ruleA);
		host.runningSlots.delete(1);
		host.channel(1).close();
		host.takeMessages();
		await settle(ruleA);
		expect(host.takeMessages()).toEqual([]);
		expect(open.shards.get(2)?.shards[1]?.driver?.slot).toBe(1);
		host.end(1);
		await until(() => host.messages.length > 0);
		expect(host.takeMessages()).toEqual(["0 attach"]);
	});

	test("a successor waits until the survivor has let go, however that comes", async () => {
		const { host, open, settle } = makeApplier();
		await settle(ruleA);
		host.end(1);
		await settle(ruleA);
		host.silent.add("detach");
		host.connect(1);
		host.takeMessages();
		const round = settle(ruleA);
		await until(() => host.messages.includes("0 detach"));
		expect(host.takeMessages().slice(-1)).toEqual(["0 detach"]);
		host.end(0);
		await round;
		expect(host.takeMessages()).toEqual(["1 attach", "1 attach"]);
		expect(open.shards.get(2)?.shards.map(({ driver }) => driver?.slot)).toEqual([1, 1]);
	});

	test("shards whose interface goes meanwhile are closed once, from whoever drives them", async () => {
		const { host, settle } = makeApplier();
		await settle();
		const before = host.kinds();
		await settle(ruleA);
		host.end(1);
		await settle();
		expect(host.kinds()).toEqual([...before, "table"].sort());
	});

	test("tables and sockets change no further before the survivor has what it drove", async () => {
		const { host, settle } = makeApplier();
		await settle(ruleA, ruleB);
		host.silent.add("attach");
		host.takeMessages();
		host.end(1);
		await until(() => host.messages.length > 0);
		const round = settle(ruleB);
		// All here is in memory: whatever waits for no answer is sent within this turn of the event loop.
		await new Promise((resolve) => setImmediate(resolve));
		expect(host.takeMessages()).toEqual(["0 attach"]);
		host.silent.clear();
		host.answerLate(0);
		await round;
		expect(host.takeMessages()).toEqual(["0 table", "0 remove-egress"]);
	});

	test("with nobody left, its successor gets the tables that they had and their shards before what is new", async () => {
		const { host, settle } = makeApplier();
		await settle(ruleA);
		await settle(ruleA, ruleB);
		for (const slot of [0, 1]) host.end(slot);
		host.takeMessages();
		await settle(ruleB);
		expect(host.takeMessages()).toEqual([]);
		host.connect(0);
		expect((await settle(ruleB))[0]?.state).toBe("ACTIVE");
		const tables = host.takeMessages().filter((message) => /table|attach|remove/.test(message));
		expect(tables).toEqual([
			...["0 table", "0 table", "0 attach", "0 attach"],
			...["0 table", "0 remove-egress"],
		]);
	});
});

describe("a worker whose end the data plane sees", () => {
	/** The second of two workers is about to end. */
	async function makeEnding(workers = 2) {
		const made = makeApplier(workers);
		await made.settle(ruleA);
		made.host.takeMessages();
		const shard = made.open.shards.get(2)?.shards[1] ?? fail();
		return { ...made, shard };
	}

	test("its shards went to who was named for them: nothing is left to do", async () => {
		const { host, drivers, shard, settle } = await makeEnding();
		expect(host.successors.get(shard.id)).toMatchObject({ driver: 101, successor: 100 });
		const [event = fail()] = host.carryOut(1);
		drivers.succeeded(event.sequence, event.shard);
		host.end(1);
		host.channel(0).acknowledge(event.sequence, 0, 0);
		await settle(ruleA);
		expect([host.settled, host.takeMessages()]).toEqual([[], []]);
		expect(shard.driver?.slot).toBe(0);
		// Nobody is left to succeed the survivor.
		expect(host.successors.size).toBe(0);
	});

	test("who hears first that its process ended leaves them alone", async () => {
		const { host, drivers, shard, settle } = await makeEnding();
		const [event = fail()] = host.carryOut(1);
		host.end(1);
		const round = settle(ruleA);
		drivers.succeeded(event.sequence, event.shard);
		host.channel(0).acknowledge(event.sequence, 0, 0);
		await round;
		expect([host.settled, host.takeMessages()]).toEqual([[], []]);
		expect(shard.driver?.slot).toBe(0);
	});

	test("when who was named can't take them, another one is asked", async () => {
		const { host, drivers, shard } = await makeEnding(3);
		const [event = fail()] = host.carryOut(1);
		host.runningSlots.delete(event.successor - 100);
		drivers.succeeded(event.sequence, event.shard);
		host.end(1);
		host.channel(event.successor - 100).acknowledge(event.sequence, ENOTCONN, 0);
		await until(() => host.messages.length > 0);
		expect(host.takeMessages()).toEqual(["2 attach"]);
		expect(shard.driver?.slot).toBe(2);
	});

	test("when who was named ended too, and that was heard of before, they go on to the next", async () => {
		const { host, drivers, shard, settle, counterMemories } = await makeEnding(3);
		const [event = fail()] = host.carryOut(1);
		host.end(0);
		drivers.succeeded(event.sequence, event.shard);
		host.end(1);
		await settle(ruleA);
		expect(host.settled).toContainEqual([shard.state, counterMemories[0] ?? -1]);
		expect(shard.driver?.slot).toBe(2);
	});

	test("while a shard is moved nobody is named for it, and who drives it afterwards has a successor", async () => {
		const { host, drivers, shard } = await makeEnding();
		host.drainingSlots.add(1);
		host.silent.add("detach");
		const vacating = drivers.vacate();
		await until(() => host.messages.includes("1 detach"));
		expect(host.successors.has(shard.id)).toBe(false);
		host.end(1);
		await vacating;
		host.drainingSlots.clear();
		host.connect(1);
		host.markRunning(1);
		drivers.arrange();
		await until(() => host.successors.has(shard.id));
		expect(host.successors.get(shard.id)).toMatchObject({ driver: 100, successor: 101 });
	});

	test("a supervisor that stops has nobody go on", async () => {
		const { host, drivers } = await makeEnding();
		drivers.stop();
		drivers.arrange();
		await Promise.resolve();
		expect(host.successors.size).toBe(0);
	});

	test("an interface that is closed has nobody named for it", async () => {
		const { host, settle } = await makeEnding();
		await settle();
		expect(host.successors.size).toBe(0);
	});
});

describe("shards that a supervisor before this one gave away", () => {
	test("stay with who says that it drives them; those of the dead are settled, and go on with a survivor", async () => {
		const { host, open, counterMemories, settle, forgetDrivers } = makeApplier(3);
		await settle(ruleA);
		const shards = open.shards.get(2)?.shards ?? fail();
		const drivers = forgetDrivers();
		// The first has no worker of its own any more, and was driven by the second, which ended as well.
		for (const slot of [0, 1]) host.runningSlots.delete(slot);
		for (const { state } of shards.slice(0, 2)) host.lastDrivers.set(state, 1);
		drivers.adopt({ slot: 2, channel: host.channel(2) }, shards[2]?.id ?? fail());
		host.takeMessages();
		await drivers.adoptOrphans();
		expect(host.settled).toEqual(shards.slice(0, 2).map(({ state }) => [state, counterMemories[1] ?? -1]));
		expect(host.takeMessages()).toEqual(["2 attach", "2 attach"]);
		expect(shards.map(({ driver }) => driver?.slot)).toEqual([2, 2, 2]);
	});

	test("wait when nobody is left", async () => {
		const { host, open, counterMemories, settle, forgetDrivers } = makeApplier(1);
		await settle(ruleA);
		const [shard = fail()] = open.shards.get(2)?.shards ?? [];
		const drivers = forgetDrivers();
		host.lastDrivers.set(shard.state, 0);
		host.takeMessages();
		await drivers.adoptOrphans();
		expect(host.settled).toEqual([[shard.state, counterMemories[0] ?? -1]]);
		expect(host.takeMessages()).toEqual([]);
		expect(shard.driver).toBeUndefined();
	});
});
