import type { Rule } from "@sluice/proto/gen/rule";
import { inputText, outputText } from "./validate.ts";

/** Rules that feed each other in a circle, in order of their names. */
export type Cycle = readonly string[];

/** Where datagrams are: interface, group and port; inside a VLAN it is another place. */
export function inputPlace(rule: Rule): string {
	const input = rule.input;
	if (input === undefined) return "";
	return input.vlan === undefined ? inputText(input) : `${inputText(input)}@${input.vlan}`;
}

/** Rules by the place of their input. */
export type RulesByInput = Pick<ReadonlyMap<string, ReadonlyMap<string, Rule>>, "get">;

/**
 * Cycles that at least one of the given rules is part of: a rule leads from its
 * input to each of its outputs, and a cycle is a strongly connected set of places
 * (Tarjan 1972, without recursion). Looks only at what the given rules reach. Pure.
 *
 * Hosts are left out of it: two hosts on the same networks are the very case in
 * which a cycle storms, because a host ignores only what it sent itself.
 */
export function findCycles(changed: readonly Rule[], rulesByInput: RulesByInput): Cycle[] {
	// Most rules lead where no rule begins.
	const leading = changed.filter(({ outputs }) =>
		outputs.some((output) => rulesByInput.get(outputText(output))),
	);
	const component = stronglyConnected(leading.map(inputPlace), rulesByInput);
	const inCycle = new Map<number, Set<string>>();
	const reached = new Set(
		leading.filter((rule) => closes(rule, component)).map((rule) => component.get(inputPlace(rule))),
	);
	for (const [place, number] of component) {
		if (!reached.has(number)) continue;
		for (const rule of rulesByInput.get(place)?.values() ?? []) {
			if (!closes(rule, component)) continue;
			const names = inCycle.get(number) ?? new Set<string>();
			inCycle.set(number, names.add(rule.name));
		}
	}
	return [...inCycle.values()].map((names) => [...names].sort());
}

/** Some output is in the same component as the input, so a way leads back. */
function closes(rule: Rule, component: ReadonlyMap<string, number>): boolean {
	const own = component.get(inputPlace(rule));
	return own !== undefined && rule.outputs.some((output) => component.get(outputText(output)) === own);
}

interface Visit {
	readonly place: string;
	readonly next: Iterator<string>;
}

/** Number of the strongly connected component of each place that is reachable from the roots. */
function stronglyConnected(roots: readonly string[], rulesByInput: RulesByInput): Map<string, number> {
	const component = new Map<string, number>();
	const order = new Map<string, number>();
	const lowest = new Map<string, number>();
	const open: string[] = [];
	const lower = (place: string, value: number) =>
		lowest.set(place, Math.min(lowest.get(place) ?? value, value));
	const enter = (place: string): Visit => {
		order.set(place, order.size);
		lowest.set(place, order.size - 1);
		open.push(place);
		return { place, next: successors(place, rulesByInput) };
	};
	const close = (place: string) => {
		const number = component.size;
		for (let member = open.pop(); member !== undefined; member = open.pop()) {
			component.set(member, number);
			if (member === place) return;
		}
	};
	for (const root of roots) {
		if (order.has(root)) continue;
		const path: Visit[] = [enter(root)];
		for (let visit = path.at(-1); visit !== undefined; visit = path.at(-1)) {
			const step = visit.next.next();
			if (step.done === true) {
				path.pop();
				if (lowest.get(visit.place) === order.get(visit.place)) close(visit.place);
				const from = path.at(-1);
				if (from !== undefined) lower(from.place, lowest.get(visit.place) ?? 0);
			} else if (!order.has(step.value)) {
				path.push(enter(step.value));
			} else if (!component.has(step.value)) {
				lower(visit.place, order.get(step.value) ?? 0);
			}
		}
	}
	return component;
}

function* successors(place: string, rulesByInput: RulesByInput): Generator<string, undefined> {
	for (const rule of rulesByInput.get(place)?.values() ?? []) {
		for (const output of rule.outputs) yield outputText(output);
	}
	return undefined;
}
