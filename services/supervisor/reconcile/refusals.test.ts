import { describe, expect, test } from "bun:test";
import { egressKey, shardsKey, TABLE_KEY } from "./keys.ts";
import { ip, LIMITS, link, rule, World } from "./testing/world.ts";

const MEBIBYTE = 2 ** 20;

describe("refusals", () => {
	test("a refused command is not tried again before its time, then succeeds and is forgotten", () => {
		const world = new World();
		world.refuse.set(shardsKey(2), "capture on r0: refused");
		const first = world.settle(rule("a"));
		expect(first.rules[0]).toEqual({ name: "a", state: "FAILED", reason: "capture on r0: refused" });
		expect(world.settle(rule("a")).text).toEqual([]);
		expect(world.plan([rule("a")]).retryAtMs).toBe(world.nowMs + 250);
		world.refuse.clear();
		world.nowMs += 250;
		expect(world.settle(rule("a")).rules[0]?.state).toBe("ACTIVE");
		expect(world.open.failures.size).toBe(0);
	});

	test("a refusal of what nobody wants any more is forgotten", () => {
		const world = new World();
		world.refuse.set(shardsKey(2), "refused");
		world.settle(rule("a"));
		expect(world.settle().text).toContain(`forget ${shardsKey(2)}`);
		expect(world.plan([]).retryAtMs).toBeUndefined();
	});

	test("rules on other interfaces start though one interface is refused", () => {
		const world = new World();
		world.refuse.set(shardsKey(2), "refused");
		const { rules } = world.settle(rule("a"), rule("b", { in: "r2" }));
		expect(rules.map(({ state }) => state)).toEqual(["FAILED", "ACTIVE"]);
	});

	test("while a table is refused the old one stands, and nothing that it uses is closed", () => {
		const world = new World();
		world.settle(rule("a"));
		world.refuse.set(TABLE_KEY, "table: refused");
		const { rules } = world.settle(rule("a", { out: ["r2:239.10.1.1:6009"] }));
		expect(rules[0]).toEqual({ name: "a", state: "FAILED", reason: "table: refused" });
		expect(world.open.egress.has(egressKey(3, 6001, 0))).toBe(true);
	});

	test("an output to the socket that sends: FAILED, unless another port sends; the others are sent to", () => {
		const world = new World();
		const out = ["r1:10.0.3.1:6001", "r2:10.0.3.1:6001"];
		expect(world.settle(rule("a", { out })).rules[0]).toEqual({
			name: "a",
			state: "FAILED",
			reason:
				"output r1: 10.0.3.1 is its own address, and source port 6001 takes what is sent there: set another sourcePort, or another address",
		});
		expect([...world.open.egress.keys()]).toEqual([egressKey(4, 6001, ip("10.0.4.1"))]);
		expect(world.settle(rule("a", { out, sourcePort: 7001 })).rules[0]?.state).toBe("ACTIVE");
		world.settle(rule("a", { out }));
		world.links = world.links.map((each) => (each.name === "r1" ? link("r1", 3, { addresses: [] }) : each));
		expect(world.settle(rule("a", { out })).rules[0]?.reason).toStartWith("output interface r1 has no IPv4");
	});

	test("an output to a broadcast address: FAILED", () => {
		const world = new World();
		const broadcasts = [ip("10.0.3.255")];
		world.links = world.links.map((each) => (each.name === "r1" ? { ...each, broadcasts } : each));
		expect(world.settle(rule("a", { out: ["r1:10.0.3.255:6001"] })).rules[0]).toEqual({
			name: "a",
			state: "FAILED",
			reason:
				"output r1: 10.0.3.255 is its broadcast address, to which nothing is sent: give a multicast group, or an address",
		});
		expect(world.open.egress.size).toBe(0);
		expect(world.settle(rule("a", { out: ["r2:10.0.3.255:6001"] })).rules[0]?.state).toBe("ACTIVE");
	});

	test("two rules with one input: the second is refused and names the first", () => {
		const { rules } = new World().settle(rule("a"), rule("b"));
		expect(rules[1]).toEqual({ name: "b", state: "FAILED", reason: "same input as rule a" });
	});

	test("rules that differ in source prefix or VLAN have different inputs", () => {
		const { rules } = new World().settle(
			rule("a"),
			rule("b", { sources: ["10.0.0.0/8"] }),
			rule("c", { sources: ["10.0.0.1"] }),
			rule("d", { vlan: 7 }),
		);
		expect(rules.every(({ state }) => state === "ACTIVE")).toBe(true);
	});

	test("a malformed record fails alone", () => {
		const { rules } = new World().settle(rule("a", { malformed: "malformed" }), rule("b"));
		expect(rules.map(({ state }) => state)).toEqual(["FAILED", "ACTIVE"]);
	});

	test("more rules than a table holds: those beyond are refused", () => {
		const world = new World();
		world.limits = { ...LIMITS, rules: 2 };
		const { rules } = world.settle(rule("a"), rule("b", { port: 1 }), rule("c", { port: 2 }));
		expect(rules.map(({ state }) => state)).toEqual(["ACTIVE", "ACTIVE", "FAILED"]);
		expect(rules[2]?.reason).toBe("more than 2 rules on one host");
	});

	test("rings shrink by halves to fit the limit, and are refused below the minimum", () => {
		const world = new World();
		world.limits = { ...LIMITS, ringLimitBytes: 76 * MEBIBYTE };
		const { rules } = world.settle(
			rule("a"),
			rule("b", { in: "r2" }),
			rule("c", { in: "r1", out: ["r0:239.9.9.9:1"] }),
		);
		const mebibytes = (ifindex: number) => (world.open.shards.get(ifindex)?.ringBytes ?? 0) / MEBIBYTE;
		expect([2, 3, 4].map(mebibytes)).toEqual([16, 8, 4]);
		expect(rules.every(({ state }) => state === "ACTIVE")).toBe(true);
		const small = new World();
		small.limits = { ...LIMITS, ringLimitBytes: 7 * MEBIBYTE };
		expect(small.settle(rule("a"), rule("b", { in: "r2" })).rules[1]).toMatchObject({
			state: "FAILED",
			reason: "ring memory limit 7 MiB reached: raise --ring-memory or remove rules from other interfaces",
		});
	});

	test("many workers leave memory for other interfaces", () => {
		const world = new World();
		world.limits = { ...LIMITS, workers: 16 };
		const { rules } = world.settle(
			rule("a"),
			rule("b", { in: "r2" }),
			rule("c", { in: "r1", out: ["r0:239.9.9.9:1"] }),
		);
		expect(rules.map(({ state }) => state)).toEqual(["ACTIVE", "ACTIVE", "ACTIVE"]);
		const bytes = [...world.open.shards.values()].map(({ ringBytes }) => 16 * ringBytes);
		expect(bytes.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(LIMITS.ringLimitBytes);
	});
});
