import type { Logger } from "./logger.ts";
import type { RuleState } from "./reconcile/types.ts";

/** More changes at once are told as numbers, and one by one at level debug. */
const MOST_LINES = 20;

/** One line for each rule that is in another state than before; refusals always. */
export function logStates(before: readonly RuleState[], now: readonly RuleState[], log: Logger): void {
	const gone = new Map(before.map((rule) => [rule.name, rule]));
	const changed = now.filter(({ name, state, reason }) => {
		const previous = gone.get(name);
		gone.delete(name);
		return previous?.state !== state || previous.reason !== reason;
	});
	const many = changed.length + gone.size > MOST_LINES;
	const level = many ? "debug" : "info";
	for (const { name, state, reason } of changed) {
		log[state === "FAILED" ? "warn" : level](
			{ rule: name, state, ...(reason === "" ? {} : { reason }) },
			`rule is ${state}`,
		);
	}
	for (const name of gone.keys()) log[level]({ rule: name }, "rule is gone");
	if (!many) return;
	const count = (state: RuleState["state"]) => changed.filter((rule) => rule.state === state).length;
	log.info(
		{ active: count("ACTIVE"), pending: count("PENDING"), failed: count("FAILED"), gone: gone.size },
		"rules changed",
	);
}
