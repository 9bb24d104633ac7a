import type { CataloguedRule } from "./catalogue.ts";

/** Rules in one go, about 6 ms: questions and counters are heard in between. */
const RULES_A_SLICE = 500;

/**
 * Every rule's figures, each second, silent rules as well: whoever begins to listen knows all
 * within a second, and a rule that says nothing is one whose aggregator is gone.
 */
export class Publication {
	readonly #publish: (rule: CataloguedRule, nowMs: number) => void;
	#running = false;

	constructor(publish: (rule: CataloguedRule, nowMs: number) => void) {
		this.#publish = publish;
	}

	/** Returns how many rules were published: none while an earlier run still goes on. */
	async run(rules: readonly CataloguedRule[], nowMs: number): Promise<number> {
		if (this.#running) return 0;
		this.#running = true;
		try {
			for (const [k, rule] of rules.entries()) {
				if (k > 0 && k % RULES_A_SLICE === 0) await nextTurn();
				this.#publish(rule, nowMs);
			}
			return rules.length;
		} finally {
			this.#running = false;
		}
	}
}

function nextTurn(): Promise<void> {
	return new Promise((resolve) => setImmediate(resolve));
}
