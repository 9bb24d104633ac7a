import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
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

/** The rules of the bucket as they are now. */
export class RuleCatalogue {
	readonly #bucket: BucketSnapshot<StoredRule>;
	#rules: CataloguedRule[] | undefined;
	#countable: Countable;

	constructor(bucket: BucketSnapshot<StoredRule>) {
		this.#bucket = bucket;
		bucket.onChange(() => {
			this.#rules = undefined;
			this.#countable = undefined;
		});
	}

	/** In order of their names. */
	get rules(): CataloguedRule[] {
		this.#rules ??= this.#all().sort((a, b) => (a.name < b.name ? -1 : 1));
		return this.#rules;
	}

	get countable(): Countable {
		// Rules that were lost come back with their uids (ADR 0076).
		return this.#bucket.entries.size === 0 ? undefined : this.stored;
	}

	/** The same, for whoever asks about rules that were not lost: there may be none. */
	get stored(): Countable {
		const { current, stream } = this.#bucket;
		if (!current || stream.damaged) return undefined;
		this.#countable ??= new Map(this.#all().map(({ uid, keys }) => [uid, keys]));
		return this.#countable;
	}

	#all() {
		return [...this.#bucket.entries.values()].flatMap(
			({ value }) => known.get(value) ?? catalogued(value) ?? [],
		);
	}
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
