import type { Prefix, Table, TableOutput, TableRule } from "./types.ts";

/** Whether two tables say the same, row by row. */
export function sameTable(a: Table | undefined, b: Table): boolean {
	if (a === undefined) return false;
	return (
		sameList(a.interfaces, b.interfaces, (x, y) => x.name === y.name && x.ifindex === y.ifindex) &&
		sameList(a.rules, b.rules, sameRule)
	);
}

export function sameRule(a: TableRule, b: TableRule): boolean {
	if (a === b) return true;
	return (
		a.uid === b.uid &&
		a.dormant === b.dormant &&
		a.ifindex === b.ifindex &&
		a.group === b.group &&
		a.port === b.port &&
		a.vlan === b.vlan &&
		sameList(a.sources, b.sources, samePrefix) &&
		sameList(a.outputs, b.outputs, sameOutput)
	);
}

function samePrefix(a: Prefix, b: Prefix): boolean {
	return a.address === b.address && a.length === b.length;
}

function sameOutput(a: TableOutput, b: TableOutput): boolean {
	return (
		a.key === b.key &&
		a.egress === b.egress &&
		a.ifindex === b.ifindex &&
		a.destination === b.destination &&
		a.source === b.source &&
		a.port === b.port &&
		a.ttl === b.ttl &&
		a.dscp === b.dscp &&
		a.mtu === b.mtu
	);
}

function sameList<Item>(
	a: readonly Item[],
	b: readonly Item[],
	same: (a: Item, b: Item) => boolean,
): boolean {
	return a.length === b.length && a.every((item, index) => same(item, b[index] as Item));
}
