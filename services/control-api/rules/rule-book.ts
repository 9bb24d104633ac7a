import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
import type { Rule, StoredRule } from "@sluice/proto/gen/rule";
import type { RulesByInput } from "./cycles.ts";
import { type Edit, findObstacles, type Obstacle, type Plan, planEdit, type StoredEntry } from "./plan.ts";
import { RuleIndex } from "./rule-index.ts";

/** The stored rules with what is needed to check an edit against them. */
export class RuleBook {
	readonly snapshot: BucketSnapshot<StoredRule>;
	readonly #index = new RuleIndex();
	#names: string[] | undefined;

	constructor(snapshot: BucketSnapshot<StoredRule>) {
		this.snapshot = snapshot;
		for (const entry of snapshot.entries.values()) this.#add(entry.value.rule);
		snapshot.onChange((change) => {
			const before = change.previous?.value.rule;
			if (before !== undefined) this.#index.remove(before);
			this.#add(change.entry?.value.rule);
			if ((change.previous === undefined) !== (change.entry === undefined)) this.#names = undefined;
		});
	}

	get entries(): ReadonlyMap<string, StoredEntry> {
		return this.snapshot.entries;
	}

	get byInput(): RulesByInput {
		return this.#index.byInput;
	}

	/** In order. */
	get names(): readonly string[] {
		this.#names ??= [...this.entries.keys()].sort();
		return this.#names;
	}

	/** Against what is stored now; throws what is wrong with the edit. */
	plan(edit: Edit): Plan {
		return planEdit(this.entries, this.#index, edit);
	}

	/** What is in the way of rules that are not stored, by name. */
	obstacles(rules: readonly Rule[]): ReadonlyMap<string, Obstacle> {
		return findObstacles(this.#index, rules);
	}

	#add(rule: Rule | undefined): void {
		if (rule !== undefined) this.#index.add(rule);
	}
}
