import { LogFlood } from "./log-flood.ts";
import type { Logger } from "./logger.ts";
import type { RuleState } from "./reconcile/types.ts";

/** More changes at once are told as numbers, and one by one at level debug. */
const MOST_LINES = 20;
/** Many edits one by one, and not all that rules on an interface that flaps do for hours. */
const LIMITS = { lines: 200, restMs: 10_000 };

/** The rules' states, as the log tells of them. */
export class StateLog {
	readonly #log: Logger;
	readonly #flood: LogFlood;

	constructor(log: Logger, limits = LIMITS) {
		this.#log = log;
		this.#flood = new LogFlood(log, "rules", limits);
	}

	/** One line for each rule that is in another state than before; refusals always. */
	tell(before: readonly RuleState[], now: readonly RuleState[]): void {
		const gone = new Map(before.map((rule) => [rule.name, rule]));
		const changed = now.filter(({ name, state, reason }) => {
			const previous = gone.get(name);
			gone.delete(name);
			return previous?.state !== state || previous.reason !== reason;
		});
		const many = changed.length + gone.size > MOST_LINES;
		const say = (name: string, text: string, fields: object) => {
			if (many) this.#log.debug(fields, `rule ${text}`);
			else this.#flood.say(name, `rule ${text}`, fields, `${name} ${text}`);
		};
		for (const { name, state, reason } of changed) {
			const fields = { rule: name, state, ...(reason === "" ? {} : { reason }) };
			if (state === "FAILED") this.#log.warn(fields, `rule is ${state}`);
			else say(name, `is ${state}`, fields);
		}
		for (const name of gone.keys()) say(name, "is gone", { rule: name });
		if (many) this.#flood.say("", "rules changed", { ...counts(changed), gone: gone.size });
	}
}

function counts(rules: readonly RuleState[]): object {
	const count = (state: RuleState["state"]) => rules.filter((rule) => rule.state === state).length;
	return { active: count("ACTIVE"), pending: count("PENDING"), failed: count("FAILED") };
}
