import type { Rule } from "@sluice/proto/gen/rule";
import { Claims, type Conflict } from "./claims.ts";
import { inputPlace, type RulesByInput } from "./cycles.ts";
import { RulesByOutput } from "./shared-outputs.ts";

/** What must be found fast among many rules: claims, inputs and outputs. */
export class RuleIndex {
	readonly #claims = new Claims();
	readonly #byInput = new Map<string, Map<string, Rule>>();
	readonly byOutput = new RulesByOutput();
	#size = 0;

	get size(): number {
		return this.#size;
	}

	get byInput(): RulesByInput {
		return this.#byInput;
	}

	add(rule: Rule): void {
		this.#claims.add(rule);
		const place = inputPlace(rule);
		const rules = this.#byInput.get(place) ?? new Map<string, Rule>();
		this.#byInput.set(place, rules.set(rule.name, rule));
		this.byOutput.add(rule);
		this.#size += 1;
	}

	remove(rule: Rule): void {
		this.#claims.remove(rule);
		const place = inputPlace(rule);
		const rules = this.#byInput.get(place);
		if (rules?.delete(rule.name) === true) this.#size -= 1;
		if (rules?.size === 0) this.#byInput.delete(place);
		this.byOutput.remove(rule);
	}

	conflict(rule: Rule): Conflict | undefined {
		return this.#claims.conflict(rule);
	}
}
