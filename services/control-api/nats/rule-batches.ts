import { toBinary } from "@bufbuild/protobuf";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { MORE_HEADER } from "@sluice/lib/headers";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import type { Write } from "../rules/plan.ts";

/** err_code of the server for a wrong Nats-Expected-Last-Msg-Id; the client has no name for it. */
const WRONG_LAST_MESSAGE_ID = 10_070;

interface BatchAnswer {
	readonly seq?: number;
	readonly count?: number;
	readonly error?: { readonly code: number; readonly err_code: number; readonly description: string };
}

/** Several writes that are stored all or not at all, with one answer for all of them. */
export class RuleBatches {
	readonly #nc: Pick<NatsConnection, "publish" | "request">;
	readonly #possible: () => boolean;

	/** @param possible the server knows them: an older one would take each message as a write of its own, unchecked. */
	constructor(nc: Pick<NatsConnection, "publish" | "request">, possible: () => boolean) {
		this.#nc = nc;
		this.#possible = possible;
	}

	get possible(): boolean {
		return this.#possible();
	}

	/**
	 * Rejects when nothing of it is stored, or when that is not known.
	 * @param more another batch of the same edit comes.
	 */
	async write(
		writes: readonly Write[],
		lastSequence: bigint,
		timeoutMs: number,
		more = false,
	): Promise<void> {
		const id = crypto.randomUUID();
		const last = writes.length - 1;
		for (const [k, write] of writes.entries()) {
			const sent = operationHeaders(write, more || k < last);
			sent.set("Nats-Batch-Id", id);
			sent.set("Nats-Batch-Sequence", String(k + 1));
			if (k === 0) sent.set("Nats-Expected-Last-Sequence", String(lastSequence));
			if (k < last) {
				this.#nc.publish(subjectOf(write), payloadOf(write), { headers: sent });
				continue;
			}
			sent.set("Nats-Batch-Commit", "1");
			const options = { headers: sent, timeout: timeoutMs };
			const answer = (
				await this.#nc.request(subjectOf(write), payloadOf(write), options)
			).json<BatchAnswer>();
			if (answer.error !== undefined) throw new JetStreamApiError(answer.error);
			const end = lastSequence + BigInt(writes.length);
			if (answer.count !== writes.length || BigInt(answer.seq ?? 0) !== end)
				throw new Error(`the server stored ${answer.count} of ${writes.length} writes, up to ${answer.seq}`);
		}
	}
}

export function subjectOf(write: Write): string {
	return kvSubject(buckets.rules, write.name);
}

export function payloadOf(write: Write): Uint8Array {
	return write.stored === undefined ? new Uint8Array() : toBinary(StoredRuleSchema, write.stored);
}

/** @param more it is not the last of its edit. */
export function operationHeaders(write: Write, more: boolean): MsgHdrs {
	const sent = headers();
	if (more) sent.set(MORE_HEADER, "1");
	if (write.stored === undefined) sent.set("KV-Operation", "DEL");
	return sent;
}

/** Somebody else wrote in between, and nothing of this is stored. */
export function isInterference(thrown: unknown): boolean {
	if (!(thrown instanceof JetStreamApiError)) return false;
	return thrown.code === JetStreamApiCodes.StreamWrongLastSequence || thrown.code === WRONG_LAST_MESSAGE_ID;
}
