import { fromBinary } from "@bufbuild/protobuf";
import { JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { type WorkerCounters, WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { countersStream, countersSubject } from "@sluice/proto/subjects";
import { addCounters, type KnownCounters } from "./decode-counters.ts";

const TIMEOUT_MS = 2_000;

/**
 * What each worker slot of this `up` published last; empty after a fresh start.
 * The counters' memory dies with a supervisor, but what readers have seen of it is
 * in the stream: its successor goes on from there, so that no figure steps back.
 */
export async function readLastCounters(
	nc: NatsConnection,
	host: string,
	incarnation: bigint,
	workers: number,
): Promise<KnownCounters[]> {
	const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: TIMEOUT_MS });
	const read = async (worker: number, chunk: number): Promise<WorkerCounters | undefined> => {
		try {
			const last_by_subj = countersSubject(host, worker, chunk);
			const stored = await jsm.streams.getMessage(countersStream, { last_by_subj });
			if (stored === null) return undefined;
			const message = fromBinary(WorkerCountersSchema, stored.data);
			return message.incarnation === incarnation ? message : undefined;
		} catch (thrown) {
			// No stream, or nothing of this worker in it.
			if (thrown instanceof JetStreamApiError) return undefined;
			throw thrown;
		}
	};
	return await Promise.all(Array.from({ length: workers }, (_, worker) => readWorker(worker, read)));
}

async function readWorker(
	worker: number,
	read: (worker: number, chunk: number) => Promise<WorkerCounters | undefined>,
): Promise<KnownCounters> {
	const known: KnownCounters = { blocks: new Map(), uids: new Set(), own: undefined };
	const first = await read(worker, 0);
	if (first === undefined) return known;
	addCounters(known, first);
	for (let chunk = 1; chunk < first.chunks; chunk += 1) {
		const next = await read(worker, chunk);
		if (next !== undefined) addCounters(known, next);
	}
	return known;
}
