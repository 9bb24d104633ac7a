import type { InterfaceRecord, OutputRecord, RuleRecord } from "@sluice/dataplane/records";
import type { Table, TableOutput, TableRule } from "../reconcile/types.ts";
import type { CounterBlocks } from "./counter-blocks.ts";
import { interfaceOwner, outputOwner, ruleOwner, uidBytes } from "./owners.ts";

/** No interface ever has this index: nothing arrives there, nothing is sent there. */
export const NO_IFINDEX = 0x7fffffff;

/** Sizes of counter blocks; sluice.h. */
export interface BlockSizes {
	readonly rule: number;
	readonly output: number;
	readonly interface: number;
}

export interface BuiltRecords {
	readonly rules: readonly RuleRecord[];
	readonly interfaces: readonly InterfaceRecord[];
	/** Owners of all counter blocks that the records name. */
	readonly owners: ReadonlySet<string>;
}

/**
 * Turns a table of names and keys into records with counter indices and egress
 * slots. Throws when the counter memory is used up.
 */
export function buildRecords(
	table: Table,
	egressSlot: (key: string) => number,
	blocks: CounterBlocks,
	sizes: BlockSizes,
): BuiltRecords {
	const owners = new Set<string>();
	const blockOf = (owner: string, counters: number): number => {
		owners.add(owner);
		const index = blocks.assign(owner, counters);
		if (index === undefined) throw new Error("counter memory is used up: remove rules");
		return index;
	};
	// Field by field: of many rules a spread takes as long as all else.
	const outputRecord = (rule: TableRule, output: TableOutput): OutputRecord => ({
		key: output.key,
		ifindex: output.egress === undefined ? NO_IFINDEX : output.ifindex,
		destination: output.destination,
		source: output.source,
		port: output.port,
		ttl: output.ttl,
		dscp: output.dscp,
		mtu: output.mtu,
		egressSlot: output.egress === undefined ? 0 : egressSlot(output.egress),
		usable: output.egress !== undefined,
		counterIndex: blockOf(outputOwner(rule.uid, output.key), sizes.output),
	});
	const rules = table.rules.map((rule, row): RuleRecord => {
		// The number of the row keeps a dormant one's key unique.
		const input = rule.dormant ? { ifindex: NO_IFINDEX, group: row + 1, port: 1 } : rule;
		return {
			uid: uidBytes(rule.uid),
			inputIfindex: input.ifindex,
			group: input.group,
			port: input.port,
			vlan: rule.vlan,
			sources: rule.sources.map(({ address, length }) => ({ network: address, prefixBits: length })),
			outputs: rule.outputs.map((output) => outputRecord(rule, output)),
			counterIndex: blockOf(ruleOwner(rule.uid), sizes.rule),
		};
	});
	const interfaces = table.interfaces.map(
		({ name, ifindex }): InterfaceRecord => ({
			name,
			ifindex,
			// By name: an interface that is made anew goes on counting.
			counterIndex: blockOf(interfaceOwner(name), sizes.interface),
		}),
	);
	return { rules, interfaces, owners };
}
