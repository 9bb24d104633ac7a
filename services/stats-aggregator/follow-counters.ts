import {
	JetStreamApiCodes,
	JetStreamApiError,
	type JetStreamManager,
	jetstreamManager,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { errorText } from "@sluice/lib/errors";
import { countersStream, countersSubjects } from "@sluice/proto/subjects";
import { steadyNowMs } from "./clock.ts";

export interface CountersListener {
	/** `atMs`: when the message came, Unix milliseconds; for a stored one, came to the server. */
	onMessage(subject: string, payload: Uint8Array, atMs: number): void;
	onTrouble(message: string): void;
}

export interface CountersFeed {
	/** Resolves when what the stream held at the start has been passed on, or could not be read. */
	readonly initial: Promise<void>;
	stop(): void;
}

/** Stored messages asked for at one time. */
const FETCH_AT_ONCE = 64;

/**
 * Passes on every worker's counters: what the stream holds for each subject, and what is
 * published from now on. Live messages come by an ordinary subscription beside the stream:
 * that needs no right to create consumers (ADR 0020), and nothing has to be resumed when
 * the server, and with it the stream in its memory, is another one after a reconnect.
 */
export function followCounters(nc: NatsConnection, listener: CountersListener): CountersFeed {
	const subscription = nc.subscribe(countersSubjects, {
		callback: (problem, message) => {
			if (problem === null) {
				listener.onMessage(message.subject, message.data, steadyNowMs());
			} else {
				listener.onTrouble(`subscription to ${countersSubjects}: ${errorText(problem)}`);
			}
		},
	});
	let stopped = false;
	const initial = readStored(nc, listener);
	void (async () => {
		for await (const status of nc.status()) {
			if (stopped) {
				return;
			}
			// A worker that published its last while we were away is in the stream only.
			if (status.type === "reconnect") {
				await readStored(nc, listener);
			}
		}
	})();
	return {
		initial,
		stop() {
			stopped = true;
			subscription.unsubscribe();
		},
	};
}

/** A failure costs what silent workers last said, and nothing else: the others speak each second. */
async function readStored(nc: NatsConnection, listener: CountersListener): Promise<void> {
	try {
		// The subscription is in place before the stream is read: no gap between the two.
		await nc.flush();
		const jsm = await jetstreamManager(nc, { checkAPI: false });
		const info = await jsm.streams.info(countersStream, { subjects_filter: countersSubjects });
		const subjects = Object.keys(info.state.subjects ?? {});
		for (let at = 0; at < subjects.length; at += FETCH_AT_ONCE) {
			const some = subjects.slice(at, at + FETCH_AT_ONCE);
			await Promise.all(some.map((subject) => readLast(jsm, subject, listener)));
		}
	} catch (thrown) {
		// Not created yet, or not again after a restart of the server: then it holds nothing.
		if (thrown instanceof JetStreamApiError && thrown.code === JetStreamApiCodes.StreamNotFound) return;
		listener.onTrouble(`stream ${countersStream} was not read: ${errorText(thrown)}`);
	}
}

async function readLast(jsm: JetStreamManager, subject: string, listener: CountersListener): Promise<void> {
	const stored = await jsm.streams.getMessage(countersStream, { last_by_subj: subject });
	if (stored !== null) {
		listener.onMessage(subject, stored.data, Math.min(steadyNowMs(), stored.time.getTime()));
	}
}
