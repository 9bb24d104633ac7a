import type { EventPublisher } from "@sluice/lib/event-publisher";
import { HostChangedSchema } from "@sluice/proto/gen/event";
import { hostEventSubject } from "@sluice/proto/subjects";
import type { PresenceChange } from "../hosts/presence.ts";

/** Tells watchers of hosts that appear, go and are forgotten. */
export function hostEvents(publisher: Pick<EventPublisher, "tell">): (change: PresenceChange) => void {
	return (change) => {
		const { host, gone, forgotten } = change;
		const what = forgotten ? "forgotten" : gone ? "gone" : "appeared";
		publisher.tell(hostEventSubject(host, what), HostChangedSchema, {
			...change,
			atUnixMs: BigInt(Date.now()),
		});
	};
}
