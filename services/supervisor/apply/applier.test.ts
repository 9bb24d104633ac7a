import { describe, expect, test } from "bun:test";
import { TableError } from "@sluice/dataplane/records";
import { until } from "@sluice/lib/testing/until";
import { egressKey, shardsKey, TABLE_KEY } from "../reconcile/keys.ts";
import { reconcile } from "../reconcile/reconcile.ts";
import { LIMITS, link, rule } from "../reconcile/testing/world.ts";
import type { DesiredRule, Link, RuleState, WorkerView } from "../reconcile/types.ts";
import { Applier } from "./applier.ts";
import { EgressOpener } from "./egress.ts";
import { MembershipPool } from "./membership-pool.ts";
import { OpenResources } from "./open-resources.ts";
import { ShardDrivers } from "./shard-drivers.ts";
import { ShardOpener } from "./shards.ts";
import { TableInstaller } from "./tables.ts";
import { FakeHost, silentLog } from "./testing/fake-host.ts";

const ENOMEM = 12;
const ENODEV = 19;
const EINVAL = 22;
const ENOTCONN = 107;
const MEBIBYTE = 2 ** 20;
const uid = (digit: number) => `0f8fad5b-d9cb-469f-a165-70867728950${digit}`;
const ruleA = rule("a", { uid: uid(1) });
const ruleC = rule("c", { uid: uid(3), group: "239.1.1.3", out: ["r1:239.10.1.3:6001"] });
const ruleB = rule("b", { uid: uid(2), group: "239.1.1.2", out: ["r2:239.10.1.2:6002"] });

function make(workers = 2) {
	const host = new FakeHost(workers);
	const open = new OpenResources();
	const counterMemories = Array.from({ length: workers }, () => host.make("createCounters", "counters"));
	const makeDrivers = () =>
		new ShardDrivers({
			dataplane: host.dataplane,
			workers: host,
			open,
			counterMemories,
			heartbeat: () => 0n,
			mostPerWorker: LIMITS.shardsPerWorker,
			log: silentLog,
		});
	const drivers = makeDrivers();
	host.onEnded = (channel) => drivers.ended(channel);
	const tables = new TableInstaller(host.dataplane, host.builder, host, open, {
		counterCapacity: 4096,
		workerCounters: 64,
		blockSizes: { rule: 16, output: 8, interface: 16 },
		counterMemories,
	});
	const applier = new Applier({
		dataplane: host.dataplane,
		workers: host,
		open,
		drivers,
		shards: new ShardOpener(host.dataplane, host, open, drivers, {
			workers,
			filterCapacity: 100,
			minimumBytes: LIMITS.shardMinimumBytes,
			vnetHeader: true,
		}),
		egress: new EgressOpener(host.dataplane, host, open, 100),
		tables,
		memberships: new MembershipPool(host.dataplane),
		counterMemories,
		reconcileLog: silentLog,
		membershipLog: silentLog,
	});
	let links: Link[] = [link("r0", 2), link("r1", 3), link("r2", 4)];
	let nowMs = performance.now();
	const views = (): WorkerView[] =>
		Array.from({ length: workers }, (_, slot) => {
			if (host.connected(slot)?.channel.gone !== false) return { slot, phase: "absent" };
			if (host.draining().includes(slot)) return { slot, phase: "draining" };
			return { slot, phase: host.runningSlots.has(slot) ? "running" : "connected" };
		});
	const settle = async (...rules: DesiredRule[]): Promise<readonly RuleState[]> => {
		for (let pass = 0; pass < 20; pass += 1) {
			const observed = { links, workers: views(), workersDown: false, open, limits: LIMITS, nowMs };
			const plan = reconcile({ sequence: 1n, rules }, observed);
			if (plan.commands.length === 0) return plan.rules;
			await applier.execute(plan.commands);
		}
		throw new Error("does not settle");
	};
	return {
		host,
		open,
		drivers,
		counterMemories,
		/** As another supervisor begins: it does not know who drives what. */
		forgetDrivers: () => {
			for (const { shards } of open.shards.values()) for (const shard of shards) shard.driver = undefined;
			return makeDrivers();
		},
		settle,
		setLinks: (...changed: Link[]) => {
			links = changed;
		},
		later: (ms: number) => {
			nowMs += ms;
		},
	};
}

describe("applying", () => {
	test("a rule reaches every worker, and its removal leaves no descriptor", async () => {
		const { host, settle } = make();
		await settle();
		const before = host.kinds();
		host.takeMessages();
		expect((await settle(ruleA))[0]?.state).toBe("ACTIVE");
		expect(host.takeMessages()).toEqual([
			"0 attach",
			"1 attach",
			"0 add-egress",
			"1 add-egress",
			"0 table",
			"1 table",
		]);
		// Two shards with their states, the filter's map, one join socket, and the table before; egress
		// sockets are the workers' alone.
		const opened = ["map", "membership", "shard", "shard", "state", "state", "table"];
		expect(host.kinds()).toEqual([...before, ...opened].sort());
		expect(host.admitted.size).toBe(1);
		await settle();
		expect(host.takeMessages()).toEqual([
			"0 table",
			"1 table",
			"0 remove-egress",
			"1 remove-egress",
			"0 detach",
			"1 detach",
		]);
		expect(host.kinds()).toEqual([...before, "table"].sort());
		expect(host.admitted.size).toBe(0);
	});

	test("an egress slot has the same number in every table and is given again after its removal", async () => {
		const { host, settle } = make();
		await settle(ruleA, ruleB);
		const slots = () => host.table.map(({ outputs }) => outputs[0]?.egressSlot);
		expect(slots()).toEqual([0, 1]);
		await settle(ruleB);
		expect(slots()).toEqual([1]);
		await settle(ruleB, rule("c", { uid: uid(3), out: ["r1:239.10.1.3:6003"] }));
		expect(slots()).toEqual([1, 0]);
	});

	test("a removed rule's counters are zeroed in every memory, one table after the one without it is in force", async () => {
		const { host, settle } = make();
		await settle(ruleA, ruleB);
		const blocks = host.table[0];
		await settle(ruleB);
		// A worker may die in a batch that it began with the rule.
		expect(host.zeroed).toEqual([]);
		await settle(ruleB, ruleC);
		expect(new Set(host.zeroed)).toEqual(
			new Set([blocks?.counterIndex ?? 0, blocks?.outputs[0]?.counterIndex ?? 0]),
		);
		expect(host.zeroed).toHaveLength(4);
	});

	test("while a worker owes its answer to a table nothing is zeroed and no rule is settled", async () => {
		const { host, settle } = make();
		await settle(ruleA, ruleB);
		host.silent.add("table");
		host.takeMessages();
		let settled = false;
		const round = settle(ruleB).then(() => {
			settled = true;
		});
		await until(() => ["0 table", "1 table"].every((message) => host.messages.includes(message)));
		expect([settled, host.zeroed.length]).toEqual([false, 0]);
		host.restart(0, "hangs");
		host.restart(1, "hangs");
		await round;
		expect(host.zeroed).toEqual([]);
		host.silent.clear();
		host.connect(0);
		await settle(ruleB, ruleC);
		expect(host.zeroed).toHaveLength(4);
	});

	test("a worker that dies during a round does not block it", async () => {
		const { host, settle } = make();
		host.silent.add("attach");
		const round = settle(ruleA);
		await until(() => host.messages.some((message) => message.endsWith(" attach")));
		host.silent.clear();
		host.end(0);
		host.end(1);
		expect((await round)[0]).toMatchObject({ state: "PENDING", reason: "no worker is running" });
	});
});

describe("welcoming a worker", () => {
	test("it gets counters first, then sockets and table, and its shards last, from whoever has them", async () => {
		const { host, settle } = make();
		await settle(ruleA, ruleB);
		host.end(1);
		await settle(ruleA, ruleB);
		host.takeMessages();
		host.connect(1);
		const states = await settle(ruleA, ruleB);
		expect(host.takeMessages()).toEqual([
			"1 counters",
			"1 add-egress",
			"1 add-egress",
			"1 table",
			"0 detach",
			"1 attach",
		]);
		expect(host.runningSlots.has(1)).toBe(true);
		expect(states.every(({ state }) => state === "ACTIVE")).toBe(true);
	});

	test("it gets the same shard and state as its predecessor", async () => {
		const { host, open, settle } = make();
		await settle(ruleA);
		const before = open.shards.get(2)?.shards[1];
		host.end(1);
		host.connect(1);
		await settle(ruleA);
		expect(open.shards.get(2)?.shards[1]).toBe(before ?? fail());
	});

	test("a socket that the kernel refuses then is that output's failure, not the worker's", async () => {
		const { host, open, settle } = make(1);
		await settle(ruleA, ruleB);
		host.end(0);
		host.connect(0);
		host.refuse.set("openEgress", ENODEV);
		const states = await settle(ruleA, ruleB);
		expect(host.restarted).toEqual([]);
		expect(states.map(({ state }) => state)).toEqual(["FAILED", "FAILED"]);
		expect(open.failures.has(egressKey(3, 6001, 0))).toBe(true);
	});

	test("one that refuses what it is given is started again", async () => {
		const { host, settle } = make(1);
		await settle(ruleA);
		host.end(0);
		host.connect(0);
		host.answer.set("attach", EINVAL);
		await settle(ruleA);
		expect(host.restarted).toEqual(["0: welcome-worker: the worker refused (EINVAL)"]);
	});
});

describe("a worker that drains", () => {
	test("lets go of its shard before the other gets it, and rounds leave it at that", async () => {
		const { host, open, drivers, settle } = make();
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
		const { host, open, drivers, settle } = make(1);
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
		const { host, open, settle } = make();
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
		const { host, open, settle } = make();
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
		const { host, open, settle } = make();
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
		const { host, open, settle } = make();
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
		const { host, settle } = make();
		await settle();
		const before = host.kinds();
		await settle(ruleA);
		host.end(1);
		await settle();
		expect(host.kinds()).toEqual([...before, "table"].sort());
	});

	test("tables and sockets change no further before the survivor has what it drove", async () => {
		const { host, settle } = make();
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
		const { host, settle } = make();
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
		const made = make(workers);
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
		const { host, open, counterMemories, settle, forgetDrivers } = make(3);
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
		const { host, open, counterMemories, settle, forgetDrivers } = make(1);
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

describe("refusals", () => {
	test("rings are halved while the kernel lacks memory; then the rule fails, and nothing stays open", async () => {
		const { host, open, settle } = make();
		await settle();
		const before = host.kinds();
		const sizes: number[] = [];
		const { openShards } = host.dataplane;
		host.dataplane.openShards = (ifindex, count, ring, filter) => {
			sizes.push((ring.blockBytes * ring.blockCount) / MEBIBYTE);
			return openShards(ifindex, count, ring, filter);
		};
		host.refuse.set("openShards", ENOMEM);
		const states = await settle(ruleA);
		expect(sizes).toEqual([32, 16, 8, 4, 2]);
		expect(states[0]).toEqual({
			name: "a",
			state: "FAILED",
			reason: "capture on r0: openShards: refused (ENOMEM): lower --ring-memory",
		});
		expect(host.kinds()).toEqual(before);
		expect(open.failures.has(shardsKey(2))).toBe(true);
	});

	test("a shard that one worker refuses is taken from all, and retried later", async () => {
		const { host, open, settle, later } = make();
		host.answer.set("attach", ENOMEM);
		const states = await settle(ruleA);
		expect(states[0]?.reason).toBe("capture on r0: the worker refused (ENOMEM)");
		expect(open.shards.size).toBe(0);
		expect(host.descriptors.size).toBeLessThan(5);
		host.answer.clear();
		later(60_000);
		expect((await settle(ruleA))[0]?.state).toBe("ACTIVE");
	});

	test("a worker that refuses a table is started again, the others go on", async () => {
		const { host, settle } = make(1);
		host.answer.set("table", EINVAL);
		const states = await settle(ruleA);
		expect(host.restarted).toHaveLength(1);
		expect(states[0]).toMatchObject({ state: "PENDING", reason: "no worker is running" });
	});

	test("a rule that the table is refused for fails alone; the others come without it, and it is tried again", async () => {
		const { host, open, settle, later } = make();
		const { build } = host.builder;
		host.builder.build = (generation) => {
			const bad = host.table.findIndex(({ port }) => port === 666);
			if (bad >= 0) throw new TableError(EINVAL, "refused", bad);
			return build(generation);
		};
		const bad = rule("bad", { uid: uid(4), port: 666 });
		const states = await settle(ruleA, bad, ruleB);
		expect(states.map(({ state }) => state)).toEqual(["ACTIVE", "FAILED", "ACTIVE"]);
		host.builder.build = build;
		later(60_000);
		expect((await settle(ruleA, bad, ruleB))[1]?.state).toBe("ACTIVE");
		expect(open.failures.size).toBe(0);
	});

	test("a table that cannot be built fails the new rule, the old ones flow on", async () => {
		const { host, open, settle } = make();
		await settle(ruleA);
		host.refuse.set("build", EINVAL);
		const states = await settle(ruleA, ruleB);
		expect(states.map(({ state }) => state)).toEqual(["ACTIVE", "FAILED"]);
		expect(open.failures.has(TABLE_KEY)).toBe(true);
		expect(open.table?.rules).toHaveLength(1);
	});
});

function fail(): never {
	throw new Error("nothing to compare with");
}
