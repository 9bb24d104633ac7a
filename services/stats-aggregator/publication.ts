import { errorText } from "@sluice/lib/errors";
import type { CataloguedRule } from "./catalogue.ts";
import type { Listened } from "./listeners.ts";

/** Rules in one go, about 6 ms: questions and counters are heard in between. */
const RULES_A_SLICE = 500;

/**
 * Every rule's figures that somebody listens to, each second, silent rules as well: whoever begins to listen
 * knows all within a second, and a rule that says nothing is one whose aggregator is gone.
 */
export class Publication {
	readonly #listeners: () => Promise<Listened>;
	readonly #publish: (rule: CataloguedRule, heard: Listened, nowMs: number) => boolean;
	#running = false;

	/** @param publish tells whether somebody listens to that rule. */
	constructor(
		listeners: () => Promise<Listened>,
		publish: (rule: CataloguedRule, heard: Listened, nowMs: number) => boolean,
	) {
		this.#listeners = listeners;
		this.#publish = publish;
	}

	/**
	 * Returns how many rules were published: none while an earlier run still goes on.
	 * @throws once all others are, when the figures of one could not be: they may be more than a message takes.
	 */
	async run(rules: readonly CataloguedRule[], nowMs: number): Promise<number> {
		if (this.#running || rules.length === 0) return 0;
		this.#running = true;
		try {
			const heard = await this.#listeners();
			if (!heard.any) return 0;
			let published = 0;
			let failure: Error | undefined;
			for (const [k, rule] of rules.entries()) {
				if (k > 0 && k % RULES_A_SLICE === 0) await nextTurn();
				try {
					if (this.#publish(rule, heard, nowMs)) published += 1;
				} catch (cause) {
					failure ??= new Error(`rule ${rule.name}: ${errorText(cause)}`, { cause });
				}
			}
			if (failure !== undefined) throw failure;
			return published;
		} finally {
			this.#running = false;
		}
	}
}

function nextTurn(): Promise<void> {
	return new Promise((resolve) => setImmediate(resolve));
}
