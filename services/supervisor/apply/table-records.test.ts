import { expect, test } from "bun:test";
import { egressKey } from "../reconcile/keys.ts";
import { ip, rule, World } from "../reconcile/testing/world.ts";
import type { Table } from "../reconcile/types.ts";
import { CounterBlocks } from "./counter-blocks.ts";
import { uidBytes } from "./owners.ts";
import { buildRecords, NO_IFINDEX } from "./table-records.ts";

const UID = "0f8fad5b-d9cb-469f-a165-70867728950e";
const SIZES = { rule: 16, output: 8, interface: 16 };

function tableOf(world: World): Table {
	const { table } = world.open;
	if (table === undefined) throw new Error("no table was installed");
	return table;
}

test("a table becomes records with slots, source address and counter blocks", () => {
	const world = new World();
	world.settle(
		rule("a", {
			uid: UID,
			vlan: 7,
			sources: ["10.0.0.0/8"],
			out: ["r1:239.10.1.1:6001", "r2:10.0.4.9:6002"],
		}),
	);
	const slots = new Map([
		[egressKey(3, 6001, 0), 5],
		[egressKey(4, 6002, ip("10.0.4.1")), 6],
	]);
	const blocks = new CounterBlocks(1024, 64);
	const { rules, interfaces, owners } = buildRecords(
		tableOf(world),
		(key) => slots.get(key) ?? -1,
		blocks,
		SIZES,
	);
	expect(rules).toEqual([
		{
			uid: uidBytes(UID),
			inputIfindex: 2,
			group: ip("239.1.1.1"),
			port: 5001,
			vlan: 7,
			sources: [{ network: ip("10.0.0.0"), prefixBits: 8 }],
			outputs: [
				expect.objectContaining({
					ifindex: 3,
					egressSlot: 5,
					source: ip("10.0.3.1"),
					mtu: 1500,
					usable: true,
				}),
				expect.objectContaining({ ifindex: 4, egressSlot: 6, source: ip("10.0.4.1"), ttl: 16, usable: true }),
			],
			counterIndex: 80,
		},
	]);
	expect(interfaces).toEqual([{ name: "r0", ifindex: 2, counterIndex: 96 }]);
	expect(owners.size).toBe(4);
});

test("an unusable output is marked and has no interface", () => {
	const world = new World();
	world.setLink("r1", { up: false });
	world.settle(rule("a", { uid: UID }));
	const { rules } = buildRecords(tableOf(world), () => 0, new CounterBlocks(1024, 64), SIZES);
	expect(rules[0]?.outputs[0]).toMatchObject({ usable: false, ifindex: NO_IFINDEX, egressSlot: 0 });
});

test("dormant rows keep their blocks and have keys that differ and match nothing", () => {
	const world = new World();
	const other = "1f8fad5b-d9cb-469f-a165-70867728950e";
	const both = [rule("a", { uid: UID }), rule("b", { uid: other, port: 5002 })];
	world.settle(...both);
	const blocks = new CounterBlocks(1024, 64);
	const live = buildRecords(tableOf(world), () => 0, blocks, SIZES);
	world.removeLink("r0");
	world.settle(...both);
	const dormant = buildRecords(tableOf(world), () => 0, blocks, SIZES);
	expect(dormant.rules.map(({ counterIndex }) => counterIndex)).toEqual(
		live.rules.map(({ counterIndex }) => counterIndex),
	);
	expect(dormant.rules.map(({ inputIfindex, group }) => [inputIfindex, group])).toEqual([
		[NO_IFINDEX, 1],
		[NO_IFINDEX, 2],
	]);
});

test("an edited rule keeps the counters of the outputs that stay", () => {
	const world = new World();
	const blocks = new CounterBlocks(1024, 64);
	const build = () => buildRecords(tableOf(world), () => 0, blocks, SIZES).rules[0];
	world.settle(rule("a", { uid: UID }));
	const before = build();
	world.settle(rule("a", { uid: UID, out: ["r2:239.10.1.1:6001", "r1:239.10.1.1:6001"] }));
	const after = build();
	expect(after?.counterIndex).toBe(before?.counterIndex ?? -1);
	expect(after?.outputs[1]?.counterIndex).toBe(before?.outputs[0]?.counterIndex ?? -1);
	expect(after?.outputs[0]?.counterIndex).not.toBe(before?.outputs[0]?.counterIndex ?? -1);
});
