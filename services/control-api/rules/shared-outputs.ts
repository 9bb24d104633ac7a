import type { Rule } from "@sluice/proto/gen/rule";
import { mayShareHost } from "./claims.ts";
import { limits } from "./limits.ts";
import { outputText } from "./validate.ts";

/** Rules that send to one and the same place, where nobody can tell their streams apart. */
export interface SharedOutput {
	/** "r1:239.10.1.1:6001". */
	readonly place: string;
	/** In order; not all where there are many. */
	readonly names: readonly string[];
	readonly more: boolean;
}

/** Rules by the place of each of their outputs. */
export type RulesByOutput = Pick<ReadonlyMap<string, ReadonlyMap<string, Rule>>, "get">;

/**
 * Places that one of the given rules shares with another that may run on the same host. An interface of the same
 * name on another host is another network, as a rule. Compares no more pairs than the limit, and no more than it takes to
 * name some: many rules may send to one collector. Pure.
 */
export function findSharedOutputs(changed: readonly Rule[], rulesByOutput: RulesByOutput): SharedOutput[] {
	const found = new Map<string, Set<string>>();
	let left: number = limits.comparedOutputs;
	for (const rule of changed) {
		for (const place of rule.outputs.map(outputText)) {
			const names = found.get(place) ?? new Set([rule.name]);
			for (const other of rulesByOutput.get(place)?.values() ?? []) {
				if (names.size > limits.namesPerWarning) break;
				left -= 1;
				if (left < 0) return sorted(found);
				if (other.name === rule.name || !mayShareHost(rule, other)) continue;
				found.set(place, names.add(rule.name).add(other.name));
			}
		}
	}
	return sorted(found);
}

function sorted(found: ReadonlyMap<string, ReadonlySet<string>>): SharedOutput[] {
	return Array.from(found, ([place, names]) => ({
		place,
		names: [...names].sort().slice(0, limits.namesPerWarning),
		more: names.size > limits.namesPerWarning,
	}));
}
