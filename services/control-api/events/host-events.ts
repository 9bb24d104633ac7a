import type { EventPublisher } from "@sluice/lib/event-publisher";
import { HOST_GONE_SECONDS, isPresent, type ObservedHost } from "@sluice/lib/rule-status";
import { HostChangedSchema } from "@sluice/proto/gen/event";
import { hostEventSubject } from "@sluice/proto/subjects";
import type { HostView } from "../hosts/host-view.ts";

const LOOK_EVERY_MS = 500;

/** Tells watchers of hosts that appear, of those that were stopped, and of those that were not seen for as long as a host takes to count as gone. */
export class HostEvents {
	readonly #view: Pick<HostView, "observed" | "snapshot">;
	readonly #publisher: Pick<EventPublisher, "tell">;
	readonly #present = new Set<string>();
	readonly #timer: ReturnType<typeof setInterval>;
	/** Monotonic milliseconds. While we heard nobody, nobody was silent. */
	#hearingSinceMs = 0;

	constructor(view: Pick<HostView, "observed" | "snapshot">, publisher: Pick<EventPublisher, "tell">) {
		this.#view = view;
		this.#publisher = publisher;
		// Those that are there when we begin appeared before.
		for (const [host, seen] of view.observed()) if (isPresent(seen)) this.#present.add(host);
		this.#timer = setInterval(() => this.#look(performance.now()), LOOK_EVERY_MS);
	}

	stop(): void {
		clearInterval(this.#timer);
	}

	#look(nowMs: number): void {
		if (!this.#view.snapshot.current) this.#hearingSinceMs = nowMs;
		const hears = nowMs - this.#hearingSinceMs > HOST_GONE_SECONDS * 1_000;
		const observed = this.#view.observed();
		for (const [host, seen] of observed) {
			if (!isPresent(seen) || this.#present.has(host)) continue;
			this.#present.add(host);
			this.#tell(host, false, seen);
		}
		for (const host of this.#present) {
			const seen = observed.get(host);
			if (seen !== undefined && isPresent(seen)) continue;
			// What it said last is true however long nobody was heard.
			if (!hears && seen?.record.stopped !== true) continue;
			this.#present.delete(host);
			this.#tell(host, true, seen);
		}
	}

	/** @param seen undefined: its record was removed. */
	#tell(host: string, gone: boolean, seen: ObservedHost | undefined): void {
		this.#publisher.tell(hostEventSubject(host, gone ? "gone" : "appeared"), HostChangedSchema, {
			host,
			gone,
			stopped: seen?.record.stopped ?? false,
			incarnation: seen?.record.incarnation ?? 0n,
			lastSeenSeconds: seen?.lastSeenSeconds ?? 0,
			atUnixMs: BigInt(Date.now()),
		});
	}
}
