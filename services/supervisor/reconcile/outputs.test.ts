import { expect, test } from "bun:test";
import { egressKey } from "./keys.ts";
import { ip, rule, World } from "./testing/world.ts";

const both = rule("a", { out: ["r1:239.10.1.1:6001", "r2:239.10.1.1:6001"] });
const usable = (world: World) =>
	world.open.table?.rules[0]?.outputs.map(({ egress }) => egress !== undefined);

test("an output that is down makes the rule wait while the others are sent to", () => {
	const world = new World();
	world.setLink("r2", { up: false });
	const { rules } = world.settle(both);
	const reason = "output interface r2 is down; 1 of 2 outputs sends";
	expect(rules[0]).toEqual({ name: "a", state: "PENDING", reason });
	expect(usable(world)).toEqual([true, false]);
	expect(world.open.memberships.size).toBe(1);
	world.setLink("r2", { up: true, carrierEpoch: 2 });
	expect(world.settle(both)).toMatchObject({ text: ["table uid-a"], rules: [{ state: "ACTIVE" }] });
	expect(usable(world)).toEqual([true, true]);
});

test("an output whose interface is missing names it", () => {
	const world = new World();
	const { rules } = world.settle(rule("a", { out: ["r1:239.10.1.1:6001", "r7:239.10.1.1:6001"] }));
	expect(rules[0]?.reason).toBe("no output interface r7 here; 1 of 2 outputs sends");
	expect(usable(world)).toEqual([true, false]);
});

test("how many outputs send is said only while some do and datagrams come", () => {
	const world = new World();
	const reason = (...out: string[]) => world.settle(rule("a", { out })).rules[0]?.reason;
	const [r1, r2, r7] = ["r1:239.10.1.1:6001", "r2:239.10.1.1:6001", "r7:239.10.1.1:6001"] as const;
	expect(reason(r7, r1, r2)).toBe("no output interface r7 here; 2 of 3 outputs send");
	expect(reason(r7)).toBe("no output interface r7 here");
	world.setLink("r0", { up: false });
	expect(reason(r7, r1, r2)).toBe("interface r0 is down");
});

test("an output without an address waits for it, then leaves from the first", () => {
	const world = new World();
	world.setLink("r1", { addresses: [] });
	expect(world.settle(rule("a")).rules[0]?.reason).toBe("output interface r1 has no IPv4 address");
	world.setLink("r1", { addresses: [ip("10.7.7.7"), ip("10.7.7.8")] });
	expect(world.settle(rule("a")).rules[0]?.state).toBe("ACTIVE");
	expect(world.open.table?.rules[0]?.outputs[0]?.source).toBe(ip("10.7.7.7"));
});

test("another address of an output's interface reaches the table, and the socket of a unicast output", () => {
	const world = new World();
	const unicast = rule("a", { out: ["r1:10.0.3.99:6001"] });
	world.settle(unicast);
	world.setLink("r1", { addresses: [ip("10.0.3.2")] });
	expect(world.settle(unicast).text).toEqual(["egress #3:6001", "table uid-a", "no-egress #3:6001"]);
	expect(world.open.table?.rules[0]?.outputs[0]?.source).toBe(ip("10.0.3.2"));
});

test("another MTU of an output's interface reaches the table", () => {
	const world = new World();
	world.settle(rule("a"));
	world.setLink("r1", { mtu: 9000 });
	expect(world.settle(rule("a")).text).toEqual(["table uid-a"]);
	expect(world.open.table?.rules[0]?.outputs[0]?.mtu).toBe(9000);
});

test("a refused socket fails the rule and no other; the rest of its outputs flow", () => {
	const world = new World();
	world.refuse.set(egressKey(4, 6001, 0), "source port 6001: refused");
	const { rules } = world.settle(both, rule("b", { group: "239.1.1.2" }));
	expect(rules).toEqual([
		{ name: "a", state: "FAILED", reason: "output r2: source port 6001: refused" },
		{ name: "b", state: "ACTIVE", reason: "" },
	]);
	expect(usable(world)).toEqual([true, false]);
});
