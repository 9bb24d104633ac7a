import { describe, expect, test } from "bun:test";
import { TableError } from "@sluice/dataplane/records";
import { until } from "@sluice/lib/testing/until";
import { egressKey, shardsKey, TABLE_KEY } from "../reconcile/keys.ts";
import { rule } from "../reconcile/testing/world.ts";
import { fail, makeApplier, ruleA, ruleB, ruleC, uid } from "./testing/applier.ts";

const ENOMEM = 12;
const EACCES = 13;
const ENODEV = 19;
const EINVAL = 22;
const EMFILE = 24;
const MEBIBYTE = 2 ** 20;

describe("applying", () => {
	test("a rule reaches every worker, and its removal leaves no descriptor", async () => {
		const { host, settle } = makeApplier();
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

	test("deaf rings are opened anew without virtio headers, when who drives one says so, and not again", async () => {
		const { host, open, shards, settle } = makeApplier();
		await settle(ruleA);
		const before = open.shards.get(2) ?? fail();
		const id = (opened: typeof before) => opened.shards[1]?.id ?? fail();
		expect(shards.deafen(id(before), 0)).toBeUndefined();
		expect(shards.deafen(id(before), 1)).toBe(2);
		expect(shards.deafen(id(before), 1)).toBeUndefined();
		host.takeMessages();
		host.admitted.clear();
		expect((await settle(ruleA))[0]?.state).toBe("ACTIVE");
		expect(host.takeMessages()).toEqual(["0 detach", "1 detach", "0 attach", "1 attach"]);
		expect(host.admitted.size).toBe(1);
		const after = open.shards.get(2) ?? fail();
		expect([before.ring.vnetHeader, after.ring.vnetHeader]).toEqual([true, false]);
		expect(shards.deafen(id(after), 1)).toBeUndefined();
	});

	test("a successor opens rings anew as it found them: without virtio headers", async () => {
		const {
			host: { dataplane },
			open,
			shards,
			settle,
		} = makeApplier();
		const ring = dataplane.planRing(1500, MEBIBYTE, false);
		const filter = dataplane.createFilter(100, false);
		const left = dataplane
			.openShards(2, 2, ring, filter)
			.map((socket) => ({ socket, state: dataplane.createShardState() }));
		shards.adopt({ ifindex: 2, firstId: 1, ring, mapFd: filter.mapFd, shards: left });
		await shards.close(2);
		await settle(ruleA);
		expect(open.shards.get(2)?.ring.vnetHeader).toBe(false);
	});

	test("an egress slot has the same number in every table and is given again after its removal", async () => {
		const { host, settle } = makeApplier();
		await settle(ruleA, ruleB);
		const slots = () => host.table.map(({ outputs }) => outputs[0]?.egressSlot);
		expect(slots()).toEqual([0, 1]);
		await settle(ruleB);
		expect(slots()).toEqual([1]);
		await settle(ruleB, rule("c", { uid: uid(3), out: ["r1:239.10.1.3:6003"] }));
		expect(slots()).toEqual([1, 0]);
	});

	test("a removed rule's counters are zeroed in every memory, one table after the one without it is in force", async () => {
		const { host, settle } = makeApplier();
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
		const { host, settle } = makeApplier();
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
		const { host, settle } = makeApplier();
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
		const { host, settle } = makeApplier();
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
		const { host, open, settle } = makeApplier();
		await settle(ruleA);
		const before = open.shards.get(2)?.shards[1];
		host.end(1);
		host.connect(1);
		await settle(ruleA);
		expect(open.shards.get(2)?.shards[1]).toBe(before ?? fail());
	});

	test("a socket that the kernel refuses then is that output's failure, not the worker's", async () => {
		const { host, open, settle } = makeApplier(1);
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
		const { host, settle } = makeApplier(1);
		await settle(ruleA);
		host.end(0);
		host.connect(0);
		host.answer.set("attach", EINVAL);
		await settle(ruleA);
		expect(host.restarted).toEqual(["0: welcome-worker: the worker refused (EINVAL)"]);
	});
});

describe("refusals", () => {
	test("what had happened when a command was refused is heard before the round goes on", async () => {
		const { host, settle } = makeApplier();
		await settle();
		host.refuse.set("openShards", ENODEV);
		let heard = false;
		setImmediate(() => (heard = true));
		await settle(ruleA);
		expect(heard).toBe(true);
	});

	test("rings are halved while the kernel lacks memory; then the rule fails, and nothing stays open", async () => {
		const { host, open, settle } = makeApplier();
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

	test("no more open files: the reason says what to do, be it here or in a worker", async () => {
		const [here, there] = [makeApplier(), makeApplier()];
		here.host.refuse.set("openEgress", EMFILE);
		there.host.answer.set("attach", EMFILE);
		for (const { settle } of [here, there])
			expect((await settle(ruleA))[0]?.reason).toEndWith(
				"refused (EMFILE): raise the limit of open files (ulimit -n), and start up anew",
			);
	});

	test("a port that only some may bind fails its rule, which names the right", async () => {
		const { host, settle } = makeApplier();
		host.refuse.set("openEgress", EACCES);
		const [state] = await settle(ruleA);
		expect(state?.state).toBe("FAILED");
		expect(state?.reason).toEndWith("refused (EACCES): the supervisor needs CAP_NET_BIND_SERVICE");
	});

	test("a shard that one worker refuses is taken from all, and retried later", async () => {
		const { host, open, settle, later } = makeApplier();
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
		const { host, settle } = makeApplier(1);
		host.answer.set("table", EINVAL);
		const states = await settle(ruleA);
		expect(host.restarted).toHaveLength(1);
		expect(states[0]).toMatchObject({ state: "PENDING", reason: "no worker is running" });
	});

	test("a rule that the table is refused for fails alone; the others come without it, and it is tried again", async () => {
		const { host, open, settle, later } = makeApplier();
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
		const { host, open, settle } = makeApplier();
		await settle(ruleA);
		host.refuse.set("build", EINVAL);
		const states = await settle(ruleA, ruleB);
		expect(states.map(({ state }) => state)).toEqual(["ACTIVE", "FAILED"]);
		expect(open.failures.has(TABLE_KEY)).toBe(true);
		expect(open.table?.rules).toHaveLength(1);
	});
});
