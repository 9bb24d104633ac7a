import { describe, expect, test } from "bun:test";
import { egressKey } from "./keys.ts";
import { ip, LIMITS, link, rule, World } from "./testing/world.ts";

describe("adding and removing", () => {
	test("a first rule opens what it needs in the order in which nothing is lost", () => {
		const world = new World();
		const { text, rules } = world.settle(rule("a"));
		expect(text).toEqual([
			"shards r0#2",
			"egress #3:6001",
			"table uid-a",
			"filter #2 239.1.1.1",
			"join #2 (*,239.1.1.1)",
		]);
		expect(rules).toEqual([{ name: "a", state: "ACTIVE", reason: "" }]);
	});

	test("the last rule's removal closes everything in the reverse order", () => {
		const world = new World();
		world.settle(rule("a"));
		expect(world.settle().text).toEqual([
			"leave #2 (*,239.1.1.1)",
			"no-filter #2 239.1.1.1",
			"table ",
			"no-egress #3:6001",
			"no-shards #2",
		]);
		expect(world.open.shards.size + world.open.egress.size + world.open.memberships.size).toBe(0);
	});

	test("nothing is opened before a rule needs it, but an empty table stands", () => {
		expect(new World().settle().text).toEqual(["table "]);
	});

	test("what is applied is left alone", () => {
		const world = new World();
		world.settle(rule("a"));
		expect(world.settle(rule("a")).text).toEqual([]);
	});

	test("a second rule on the interface shares its shards", () => {
		const world = new World();
		world.settle(rule("a"));
		const { text } = world.settle(rule("a"), rule("b", { group: "239.1.1.2", out: ["r1:239.10.1.2:6002"] }));
		expect(text).toEqual([
			"egress #3:6002",
			"table uid-a,uid-b",
			"filter #2 239.1.1.2",
			"join #2 (*,239.1.1.2)",
		]);
	});

	test("rules that share a group share filter entry and membership, and the first removal takes neither", () => {
		const world = new World();
		const both = [rule("a"), rule("b", { port: 5002 })];
		const { text } = world.settle(...both);
		expect(text.filter((line) => line.startsWith("join"))).toEqual(["join #2 (*,239.1.1.1)"]);
		expect(text.filter((line) => line.startsWith("filter"))).toHaveLength(1);
		expect(world.settle(rule("b", { port: 5002 })).text).toEqual(["table uid-b"]);
	});

	test("outputs with one interface and source port share a socket", () => {
		const world = new World();
		const { text } = world.settle(rule("a", { out: ["r1:239.10.1.1:6001", "r1:239.10.1.2:6001"] }));
		expect(text.filter((line) => line.startsWith("egress"))).toEqual(["egress #3:6001"]);
		expect(world.open.table?.rules[0]?.outputs).toHaveLength(2);
	});

	test("unicast outputs have sockets of their own, bound to the source address", () => {
		const world = new World();
		world.settle(rule("a", { out: ["r1:239.10.1.1:6001", "r1:10.0.3.99:6001"] }));
		expect([...world.open.egress.keys()]).toEqual([
			egressKey(3, 6001, 0),
			egressKey(3, 6001, ip("10.0.3.1")),
		]);
	});

	test("the source port may be said, and is then the socket's", () => {
		const world = new World();
		expect(world.settle(rule("a", { sourcePort: 7777 })).text).toContain("egress #3:7777");
	});

	test("an edited output is added before the old one goes", () => {
		const world = new World();
		world.settle(rule("a"));
		expect(world.settle(rule("a", { out: ["r2:239.10.1.1:6009"] })).text).toEqual([
			"egress #4:6009",
			"table uid-a",
			"no-egress #3:6001",
		]);
	});

	test("an edited input moves: the new one flows before the old interface closes", () => {
		const world = new World();
		world.settle(rule("a"));
		expect(world.settle(rule("a", { in: "r2" })).text).toEqual([
			"shards r2#4",
			"leave #2 (*,239.1.1.1)",
			"no-filter #2 239.1.1.1",
			"table uid-a",
			"filter #4 239.1.1.1",
			"join #4 (*,239.1.1.1)",
			"no-shards #2",
		]);
	});

	test("an input on an own unicast address gets a drain socket and no membership", () => {
		const world = new World();
		expect(world.settle(rule("a", { group: "10.0.2.1" })).text).toEqual([
			"shards r0#2",
			"egress #3:6001",
			"drain #2:5001",
			"table uid-a",
			"filter #2 10.0.2.1",
		]);
		expect(world.settle().text.at(-1)).toBe("no-drain #2:5001");
	});

	test("an input on a unicast address that is not ours waits for it", () => {
		const world = new World();
		expect(world.settle(rule("a", { group: "10.9.9.9" })).rules[0]).toEqual({
			name: "a",
			state: "PENDING",
			reason: "address 10.9.9.9 is not on an interface here",
		});
	});
});

describe("interfaces", () => {
	test("a rule waits for its input interface and starts when it is there, up", () => {
		const world = new World();
		const waiting = rule("a", { in: "r9" });
		expect(world.settle(waiting)).toMatchObject({
			text: ["table "],
			rules: [{ state: "PENDING", reason: "no interface r9 here" }],
		});
		world.links = [...world.links, link("r9", 9, { up: false, carrierEpoch: 0 })];
		expect(world.settle(waiting)).toMatchObject({
			text: [],
			rules: [{ state: "PENDING", reason: "interface r9 is down" }],
		});
		world.setLink("r9", { up: true, carrierEpoch: 1 });
		expect(world.settle(waiting).rules[0]?.state).toBe("ACTIVE");
		expect(world.open.shards.has(9)).toBe(true);
	});

	test("an input that goes down pauses the rule; all stays open, and it joins again when it is back", () => {
		const world = new World();
		world.settle(rule("a"));
		world.setLink("r0", { up: false });
		expect(world.settle(rule("a"))).toMatchObject({
			text: [],
			rules: [{ state: "PENDING", reason: "interface r0 is down" }],
		});
		world.setLink("r0", { up: true, carrierEpoch: 2 });
		expect(world.settle(rule("a"))).toMatchObject({
			text: ["rejoin #2 (*,239.1.1.1)"],
			rules: [{ state: "ACTIVE" }],
		});
	});

	test("an interface that disappears takes its sockets along; the rule's counters keep their row", () => {
		const world = new World();
		world.settle(rule("a"));
		world.removeLink("r0");
		const { text, rules } = world.settle(rule("a"));
		expect(text).toEqual([
			"no-shards #2",
			"leave #2 (*,239.1.1.1)",
			"table uid-a(dormant)",
			"no-egress #3:6001",
		]);
		expect(rules[0]).toMatchObject({ state: "PENDING", reason: "no interface r0 here" });
		expect(world.open.destinations.size).toBe(0);
	});

	test("a re-created interface gets new sockets, the old ones close first", () => {
		const world = new World();
		world.settle(rule("a"));
		world.removeLink("r0");
		world.links.push(link("r0", 12));
		const { text, rules } = world.settle(rule("a"));
		expect(text).toEqual([
			"no-shards #2",
			"shards r0#12",
			"leave #2 (*,239.1.1.1)",
			"table uid-a",
			"filter #12 239.1.1.1",
			"join #12 (*,239.1.1.1)",
		]);
		expect(rules[0]?.state).toBe("ACTIVE");
	});

	test("a renamed interface is another one: who named it so waits, who names it so now starts", () => {
		const world = new World();
		world.settle(rule("a"));
		world.setLink("r0", { name: "left" });
		expect(world.settle(rule("a")).rules[0]).toMatchObject({
			state: "PENDING",
			reason: "no interface r0 here",
		});
		expect(world.open.shards.size).toBe(0);
		expect(world.settle(rule("a", { in: "left" })).rules[0]?.state).toBe("ACTIVE");
		expect(world.open.table?.interfaces).toEqual([{ name: "left", ifindex: 2 }]);
	});

	test("the name of an interface in use changes in the table alone", () => {
		const world = new World();
		world.settle(rule("a"));
		world.setLink("r0", { name: "left" });
		expect(world.settle(rule("a", { in: "left" })).text).toEqual(["table uid-a"]);
	});
});

describe("placement", () => {
	test("a held rule waits with the reason of its placement, and starts when it is let go", () => {
		const world = new World();
		const reason = "hosts a, b match: name one, or all";
		expect(world.settle(rule("a", { held: reason }))).toMatchObject({
			text: ["table "],
			rules: [{ state: "PENDING", reason }],
		});
		expect(world.settle(rule("a")).rules[0]?.state).toBe("ACTIVE");
	});

	test("a rule that moved to another host keeps the row of its counters, one that never ran here gets none", () => {
		const world = new World();
		world.settle(rule("a"));
		world.elsewhere = [rule("a"), rule("b")];
		const { text, rules } = world.settle();
		expect(text).toContain("table uid-a(dormant)");
		expect(rules).toEqual([]);
		world.elsewhere = [];
		expect(world.settle().text).toEqual(["table "]);
	});

	test("a rule that moves away and back 10,000 times takes one row, also when it is another one each time", () => {
		const world = new World();
		for (let move = 0; move < 10_000; move += 1) {
			const moving = rule("a", { out: [`r1:239.10.${move >> 8}.${move & 255}:6001`] });
			const remade = rule("b", { uid: `uid-${move}`, group: "239.1.1.2" });
			world.elsewhere = [];
			world.settle(moving, remade);
			world.elsewhere = [moving, remade];
			world.settle();
			expect(world.open.table?.rules.map(({ uid }) => uid)).toEqual(["uid-a", `uid-${move}`]);
		}
	});

	test("rows of rules that moved away make room for those that are here, of rules and of outputs", () => {
		const world = new World();
		const some = (from: number, count: number) =>
			Array.from({ length: count }, (_, k) => rule(`${from + k}`, { group: `239.1.0.${from + k}` }));
		for (const limits of [
			{ ...LIMITS, rules: 4 },
			{ ...LIMITS, outputs: 4 },
		]) {
			world.limits = limits;
			world.elsewhere = [];
			world.settle(...some(1, 4));
			world.elsewhere = some(1, 4);
			const { rules } = world.settle(...some(5, 3));
			expect(rules.map(({ state }) => state)).toEqual(["ACTIVE", "ACTIVE", "ACTIVE"]);
			expect(world.open.table?.rules.map(({ uid }) => uid)).toEqual(["uid-5", "uid-6", "uid-7", "uid-1"]);
			world.settle();
		}
	});
});

describe("workers", () => {
	test("one that connects is welcomed before anything else", () => {
		const world = new World();
		world.workers = [
			{ slot: 0, phase: "running" },
			{ slot: 1, phase: "connected" },
		];
		expect(world.settle(rule("a")).text[0]).toBe("welcome 1");
	});

	test("without any worker a rule waits, though everything is opened for it", () => {
		const world = new World();
		world.workers = [{ slot: 0, phase: "absent" }];
		const { text, rules } = world.settle(rule("a"));
		expect(rules[0]).toMatchObject({ state: "PENDING", reason: "no worker is running" });
		expect(text).toContain("join #2 (*,239.1.1.1)");
		world.workers = [{ slot: 0, phase: "connected" }];
		expect(world.settle(rule("a"))).toMatchObject({ text: ["welcome 0"], rules: [{ state: "ACTIVE" }] });
	});

	test("the death of one changes nothing that is open, and no state", () => {
		const world = new World();
		world.settle(rule("a"));
		world.workers = [
			{ slot: 0, phase: "running" },
			{ slot: 1, phase: "absent" },
		];
		expect(world.settle(rule("a"))).toMatchObject({ text: [], rules: [{ state: "ACTIVE" }] });
	});

	test("while the only ones are away with what they began, tables and sockets wait for the next", () => {
		const world = new World();
		world.settle(rule("a"));
		for (const slot of [0, 1]) world.end(slot);
		const other = rule("b", { group: "239.1.1.2", out: ["r2:239.10.1.2:6002"] });
		const { text, rules } = world.settle(other);
		expect(text).toEqual(["egress #4:6002", "leave #2 (*,239.1.1.1)", "no-filter #2 239.1.1.1"]);
		expect(world.plan([other]).waits).toBeTrue();
		world.workersDown = true;
		expect(world.plan([other]).waits).toBeFalse();
		expect(world.plan([other]).rules).toEqual([
			{ name: "b", state: "PENDING", reason: "no worker is running" },
		]);
		world.workersDown = false;
		world.workers = [{ slot: 0, phase: "connected" }];
		expect(world.settle(other).text[0]).toBe("welcome 0");
		expect(rules).toHaveLength(1);
		expect(world.open.table?.rules).toHaveLength(1);
	});

	test("when none has come back for long, rules say so", () => {
		const world = new World();
		world.settle(rule("a"));
		world.workersDown = true;
		expect(world.settle(rule("a")).rules[0]).toMatchObject({
			state: "PENDING",
			reason: "no worker is running",
		});
	});
});
