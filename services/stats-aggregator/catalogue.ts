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

/** The rules in order of their names. */
export function catalogue(stored: Iterable<StoredRule>): CataloguedRule[] {
	const rules: CataloguedRule[] = [];
	for (const { rule, uid } of stored) {
		if (rule !== undefined) {
			rules.push({ name: rule.name, uid, outputs: rule.outputs.map(cataloguedOutput) });
		}
	}
	return rules.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function cataloguedOutput(output: Output): CataloguedOutput {
	const { interface: name, address, port = 0 } = output;
	return { interface: name, address, port, key: outputKey(name, address, port) };
}
