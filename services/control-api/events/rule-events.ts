import type { EventPublisher } from "@sluice/lib/event-publisher";
import { RuleChanged_Change, RuleChangedSchema } from "@sluice/proto/gen/event";
import { ruleEventSubject } from "@sluice/proto/subjects";
import type { WrittenRule } from "../nats/rule-log.ts";

/** Tells watchers of each rule that was written, with the revision that the writer is answered. */
export function ruleEvents(publisher: Pick<EventPublisher, "tell">): (written: WrittenRule) => void {
	return ({ write, revision }) => {
		const { name, stored, previous } = write;
		const change =
			stored === undefined
				? RuleChanged_Change.REMOVED
				: previous === undefined
					? RuleChanged_Change.ADDED
					: RuleChanged_Change.CHANGED;
		publisher.tell(ruleEventSubject(name, RuleChanged_Change[change].toLowerCase()), RuleChangedSchema, {
			name,
			uid: (stored ?? previous?.value)?.uid ?? "",
			revision,
			change,
			atUnixMs: BigInt(Date.now()),
		});
	};
}
