import type { EventPublisher } from "@sluice/lib/event-publisher";
import { HostChangedSchema } from "@sluice/proto/gen/event";
import { hostEventSubject } from "@sluice/proto/subjects";
import type { PresenceChange } from "../hosts/presence.ts";

/** Tells watchers of hosts that appear and go. */
export function hostEvents(publisher: Pick<EventPublisher, "tell">): (change: PresenceChange) => void {
	return (change) =>
		publisher.tell(hostEventSubject(change.host, change.gone ? "gone" : "appeared"), HostChangedSchema, {
			...change,
			atUnixMs: BigInt(Date.now()),
		});
}
