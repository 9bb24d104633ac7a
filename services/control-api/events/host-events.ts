import type { EventPublisher } from "@sluice/lib/event-publisher";
import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import { HostChangedSchema } from "@sluice/proto/gen/event";
import { hostEventSubject } from "@sluice/proto/subjects";
import type { HostView } from "../hosts/host-view.ts";

const LOOK_EVERY_MS = 500;

/** Tells watchers of hosts that appear, and of those that were not seen for as long as a host takes to count as gone. */
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
		for (const [host, { lastSeenSeconds }] of view.observed())
			if (lastSeenSeconds <= HOST_GONE_SECONDS) this.#present.add(host);
		this.#timer = setInterval(() => this.#look(performance.now()), LOOK_EVERY_MS);
	}

	stop(): void {
		clearInterval(this.#timer);
	}

	#look(nowMs: number): void {
		if (!this.#view.snapshot.current) this.#hearingSinceMs = nowMs;
		const observed = this.#view.observed();
		for (const [host, { record, lastSeenSeconds }] of observed) {
			const present = lastSeenSeconds <= HOST_GONE_SECONDS;
			if (present && !this.#present.has(host)) this.#tell(host, record.incarnation, lastSeenSeconds);
			if (present) this.#present.add(host);
		}
		if (nowMs - this.#hearingSinceMs <= HOST_GONE_SECONDS * 1_000) return;
		for (const host of this.#present) {
			const { record, lastSeenSeconds = Number.POSITIVE_INFINITY } = observed.get(host) ?? {};
			if (lastSeenSeconds <= HOST_GONE_SECONDS) continue;
			this.#present.delete(host);
			this.#tell(host, record?.incarnation ?? 0n, lastSeenSeconds);
		}
	}

	#tell(host: string, incarnation: bigint, lastSeenSeconds: number): void {
		const gone = lastSeenSeconds > HOST_GONE_SECONDS;
		this.#publisher.tell(hostEventSubject(host, gone ? "gone" : "appeared"), HostChangedSchema, {
			host,
			gone,
			incarnation,
			// A record that was removed has no age.
			lastSeenSeconds: Number.isFinite(lastSeenSeconds) ? lastSeenSeconds : 0,
			atUnixMs: BigInt(Date.now()),
		});
	}
}
