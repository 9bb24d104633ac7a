import { fromBinary } from "@bufbuild/protobuf";
import {
	JetStreamApiCodes,
	JetStreamApiError,
	type JetStreamClient,
	jetstream,
	jetstreamManager,
	type StoredMsg,
} from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import { isForeign, type Owner, taken } from "./ownership.ts";

const WRITE_TIMEOUT_MS = 2_000;
const EXPECTED = "Nats-Expected-Last-Subject-Sequence";

/** This host's record in the bucket, written only over what this host wrote itself. */
export class StoredRecord {
	readonly #nc: NatsConnection;
	readonly #js: JetStreamClient;
	readonly #own: Owner;
	readonly #subject: string;
	readonly #onTaken: (error: Error) => void;
	/** Of the last write; 0: nothing is there. */
	#revision: bigint;

	/** @param onTaken somebody else writes under this host's id, and this one has to stop. */
	constructor(nc: NatsConnection, own: Owner, revision: bigint, onTaken: (error: Error) => void) {
		this.#nc = nc;
		this.#js = jetstream(nc, { timeout: WRITE_TIMEOUT_MS });
		this.#own = own;
		this.#subject = kvSubject(buckets.hosts, own.host);
		this.#revision = revision;
		this.#onTaken = onTaken;
	}

	async write(bytes: Uint8Array): Promise<void> {
		try {
			await this.#publish(bytes);
		} catch (thrown) {
			if (!isConflict(thrown)) throw thrown;
			// The answer to an earlier write was lost, or the bucket is another one, or so is who writes.
			const stored = await this.#readLast();
			const record = stored === null ? undefined : decode(stored.data);
			if (record !== undefined && isForeign(record, this.#own)) {
				const error = taken(this.#own.host, record);
				this.#onTaken(error);
				throw error;
			}
			this.#revision = BigInt(stored?.seq ?? 0);
			await this.#publish(bytes);
		}
	}

	async #publish(bytes: Uint8Array): Promise<void> {
		const condition = headers();
		condition.set(EXPECTED, String(this.#revision));
		const { seq } = await this.#js.publish(this.#subject, bytes, { headers: condition });
		this.#revision = BigInt(seq);
	}

	async #readLast(): Promise<StoredMsg | null> {
		const jsm = await jetstreamManager(this.#nc, { checkAPI: false, timeout: WRITE_TIMEOUT_MS });
		return await jsm.streams.getMessage(`KV_${buckets.hosts}`, { last_by_subj: this.#subject });
	}
}

function isConflict(thrown: unknown): boolean {
	return thrown instanceof JetStreamApiError && thrown.code === JetStreamApiCodes.StreamWrongLastSequence;
}

/** Undefined: removed, or no record, and so nobody's. */
function decode(bytes: Uint8Array): HostRecord | undefined {
	if (bytes.length === 0) return undefined;
	try {
		return fromBinary(HostRecordSchema, bytes);
	} catch {
		return undefined;
	}
}
