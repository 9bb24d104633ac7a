import type { Output, StoredRule } from "@sluice/proto/gen/rule";
import { outputKey } from "@sluice/proto/output-key";

/** What statistics need to know of a rule: counters carry uid and output key only. */
export interface CataloguedRule {
	readonly name: string;
	readonly uid: string;
	readonly outputs: readonly CataloguedOutput[];
}

export interface CataloguedOutput {
	readonly interface: string;
	readonly address: string;
	readonly port: number;
	readonly key: bigint;
}

/** By the uids of all rules that there are, the keys of their outputs; undefined: nobody knows which there are. */
export type Countable = ReadonlyMap<string, ReadonlySet<bigint>> | undefined;

export function countableOf(stored: Iterable<StoredRule>): Countable {
	const keys = new Map<string, ReadonlySet<bigint>>();
	for (const one of stored) {
		const rule = known.get(one) ?? catalogued(one);
		if (rule !== undefined) keys.set(rule.uid, rule.keys);
	}
	return keys;
}

/** The rules in order of their names. */
export function catalogue(stored: Iterable<StoredRule>): CataloguedRule[] {
	const rules: CataloguedRule[] = [];
	for (const one of stored) {
		const rule = known.get(one) ?? catalogued(one);
		if (rule !== undefined) rules.push(rule);
	}
	return rules.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A change is another object: of many rules few are new at a time. */
const known = new WeakMap<StoredRule, CataloguedRule & { readonly keys: ReadonlySet<bigint> }>();

function catalogued(stored: StoredRule) {
	const { rule, uid } = stored;
	if (rule === undefined) return undefined;
	const outputs = rule.outputs.map(cataloguedOutput);
	const entry = { name: rule.name, uid, outputs, keys: new Set(outputs.map(({ key }) => key)) };
	known.set(stored, entry);
	return entry;
}

function cataloguedOutput(output: Output): CataloguedOutput {
	const { interface: name, address, port = 0 } = output;
	return { interface: name, address, port, key: outputKey(name, address, port) };
}
