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

/** Rules by the place of each of their outputs, of which most have one alone: those take no map of their own. */
export class RulesByOutput {
	readonly #rules = new Map<string, Rule | Map<string, Rule>>();

	at(place: string): Iterable<Rule> {
		const rules = this.#rules.get(place);
		if (rules === undefined) return [];
		return rules instanceof Map ? rules.values() : [rules];
	}

	add(rule: Rule): void {
		for (const place of rule.outputs.map(outputText)) {
			const there = this.#rules.get(place);
			if (there instanceof Map) there.set(rule.name, rule);
			else if (there === undefined || there.name === rule.name) this.#rules.set(place, rule);
			else this.#rules.set(place, new Map([there, rule].map((each) => [each.name, each])));
		}
	}

	remove({ name, outputs }: Rule): void {
		for (const place of outputs.map(outputText)) {
			const there = this.#rules.get(place);
			if (there instanceof Map) {
				there.delete(name);
				const [last] = there.values();
				if (there.size === 1 && last !== undefined) this.#rules.set(place, last);
			} else if (there?.name === name) this.#rules.delete(place);
		}
	}
}

/**
 * Places that one of the given rules shares with another that may run on the same host. An interface of the same
 * name on another host is another network, as a rule. Compares no more pairs than the limit, and no more than it takes to
 * name some: many rules may send to one collector. Pure.
 */
export function findSharedOutputs(
	changed: readonly Rule[],
	rulesByOutput: Pick<RulesByOutput, "at">,
): SharedOutput[] {
	const found = new Map<string, Set<string>>();
	let left: number = limits.comparedOutputs;
	for (const rule of changed) {
		for (const place of rule.outputs.map(outputText)) {
			const names = found.get(place) ?? new Set([rule.name]);
			for (const other of rulesByOutput.at(place)) {
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
