import { HOST_GONE_SECONDS, isPresent, type ObservedHost } from "@sluice/lib/rule-status";
import type { HostView } from "./host-view.ts";

const GONE_MS = HOST_GONE_SECONDS * 1_000;

export interface PresenceChange {
	readonly host: string;
	readonly gone: boolean;
	/** Whoever runs it did that. */
	readonly stopped: boolean;
	/** Its record was removed by sluice host forget. */
	readonly forgotten: boolean;
	readonly incarnation: bigint;
	readonly lastSeenSeconds: number;
}

/** Tells of hosts that appear, of those that were stopped or are forgotten, and of those that were not seen for as long as a host takes to count as gone. */
export class HostPresence {
	readonly #view: Pick<HostView, "observed" | "snapshot">;
	readonly #listeners = new Set<(change: PresenceChange) => void>();
	/** Of each host that is there: when it is to be looked whether it still is. */
	readonly #looks = new Map<string, ReturnType<typeof setTimeout>>();
	readonly #stopFollowing: () => void;

	constructor(view: Pick<HostView, "observed" | "snapshot">) {
		this.#view = view;
		// Those that are there when we begin appeared before.
		for (const [host, seen] of view.observed())
			if (isPresent(seen)) this.#lookIn(host, GONE_MS - seen.lastSeenSeconds * 1_000);
		this.#stopFollowing = view.snapshot.onChange(({ key, entry, previous, lost }) => {
			if (entry === undefined) {
				// What lost the bucket is no word of the host: the look that is due tells whether it is there.
				if (lost === true || previous === undefined) return;
				this.#lookNoMore(key);
				// The view knows its age no more: the server's clock tells it.
				const lastSeenSeconds = Math.max(0, Date.now() - previous.writtenUnixMs) / 1_000;
				this.#tell(key, true, { record: previous.value, lastSeenSeconds }, true);
				return;
			}
			const present = this.#looks.has(key);
			if (!entry.value.stopped) this.#lookIn(key, GONE_MS);
			else this.#lookNoMore(key);
			if (present === entry.value.stopped)
				this.#tell(key, present, { record: entry.value, lastSeenSeconds: 0 });
		});
	}

	/** Returns the way to stop. */
	onChange(callback: (change: PresenceChange) => void): () => void {
		this.#listeners.add(callback);
		return () => this.#listeners.delete(callback);
	}

	stop(): void {
		this.#stopFollowing();
		for (const host of [...this.#looks.keys()]) this.#lookNoMore(host);
	}

	/** A timer of each host's own, which its next record sets anew: while all write, nobody is woken to look. */
	#lookIn(host: string, delayMs: number): void {
		clearTimeout(this.#looks.get(host));
		// Gone is who was silent for longer.
		this.#looks.set(
			host,
			setTimeout(() => this.#look(host), delayMs + 1),
		);
	}

	#lookNoMore(host: string): void {
		clearTimeout(this.#looks.get(host));
		this.#looks.delete(host);
	}

	#look(host: string): void {
		const seen = this.#view.observed().get(host);
		// While we heard nobody, nobody was silent.
		const heardMs = Math.max(0, performance.now() - this.#view.snapshot.currentSinceMs);
		const silentMs = Math.min(seen === undefined ? heardMs : seen.lastSeenSeconds * 1_000, heardMs);
		if (silentMs <= GONE_MS) {
			this.#lookIn(host, GONE_MS - silentMs);
			return;
		}
		this.#lookNoMore(host);
		this.#tell(host, true, seen);
	}

	/** @param seen undefined: its record was removed. */
	#tell(host: string, gone: boolean, seen: ObservedHost | undefined, forgotten = false): void {
		const change = {
			host,
			gone,
			forgotten,
			stopped: seen?.record.stopped ?? false,
			incarnation: seen?.record.incarnation ?? 0n,
			lastSeenSeconds: seen?.lastSeenSeconds ?? 0,
		};
		for (const listener of this.#listeners) listener(change);
	}
}
