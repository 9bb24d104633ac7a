import type { Rule } from "@sluice/proto/gen/rule";
import { Claims, type Conflict } from "./claims.ts";
import { inputPlace, type RulesByInput } from "./cycles.ts";
import type { RulesByOutput } from "./shared-outputs.ts";
import { outputText } from "./validate.ts";

type Places = Map<string, Map<string, Rule>>;

/** What must be found fast among many rules: claims, inputs and outputs. */
export class RuleIndex {
	readonly #claims = new Claims();
	readonly #byInput: Places = new Map();
	readonly #byOutput: Places = new Map();
	#size = 0;

	get size(): number {
		return this.#size;
	}

	get byInput(): RulesByInput {
		return this.#byInput;
	}

	get byOutput(): RulesByOutput {
		return this.#byOutput;
	}

	add(rule: Rule): void {
		this.#claims.add(rule);
		enter(this.#byInput, inputPlace(rule), rule);
		for (const output of rule.outputs) enter(this.#byOutput, outputText(output), rule);
		this.#size += 1;
	}

	remove(rule: Rule): void {
		this.#claims.remove(rule);
		if (leave(this.#byInput, inputPlace(rule), rule)) this.#size -= 1;
		for (const output of rule.outputs) leave(this.#byOutput, outputText(output), rule);
	}

	conflict(rule: Rule): Conflict | undefined {
		return this.#claims.conflict(rule);
	}
}

function enter(places: Places, place: string, rule: Rule): void {
	const rules = places.get(place) ?? new Map<string, Rule>();
	places.set(place, rules.set(rule.name, rule));
}

/** @returns whether it was there. */
function leave(places: Places, place: string, { name }: Rule): boolean {
	const rules = places.get(place);
	const was = rules?.delete(name) === true;
	if (rules?.size === 0) places.delete(place);
	return was;
}
