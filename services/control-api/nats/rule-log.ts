import { toBinary } from "@bufbuild/protobuf";
import { JetStreamApiCodes, JetStreamApiError, type JetStreamClient } from "@nats-io/jetstream";
import { headers, type MsgHdrs } from "@nats-io/transport-node";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets } from "@sluice/proto/subjects";
import type { Write } from "../rules/plan.ts";
import type { ConnectionWatch } from "./connection-watch.ts";

export interface WrittenRule {
	readonly write: Write;
	readonly revision: bigint;
}

export interface AppendOutcome {
	/** Durable, in order. */
	readonly written: readonly WrittenRule[];
	/** Sent, but the storage's answer never came: may be durable or not. */
	readonly uncertain: readonly Write[];
	/** Absent: everything is written. `interfered`: somebody else wrote in between. */
	readonly failure?: "interfered" | "unanswered";
	readonly cause?: unknown;
}

/** Enough to keep the storage busy, few enough to stop soon. */
const WINDOW = 256;
const ACK_TIMEOUT_MS = 5_000;
/** err_code of the server for a wrong Nats-Expected-Last-Msg-Id; the client has no name for it. */
const WRONG_LAST_MESSAGE_ID = 10_070;

/**
 * Writes rules with compare-and-set on the whole stream. The first write expects
 * the sequence that the caller's snapshot ends with. Each further one is sent
 * without waiting and expects, besides its sequence, the message id of the one
 * before: after somebody else's write the sequences alone would match again one
 * message later, and the rest would slip in unchecked.
 */
export class RuleLog {
	readonly #js: Pick<JetStreamClient, "publish">;
	readonly #connection: Pick<ConnectionWatch, "onLost">;

	constructor(js: Pick<JetStreamClient, "publish">, connection: Pick<ConnectionWatch, "onLost">) {
		this.#js = js;
		this.#connection = connection;
	}

	async append(writes: readonly Write[], lastSequence: bigint): Promise<AppendOutcome> {
		const chain = new Chain(crypto.randomUUID(), Number(lastSequence));
		const lost = Promise.withResolvers<void>();
		const stopListening = this.#connection.onLost(() => {
			chain.lose();
			lost.resolve();
		});
		const underWay = new Set<Promise<void>>();
		for (const [k, write] of writes.entries()) {
			if (chain.broken) break;
			chain.sent.push(write);
			const sent = this.#write(chain, k, write).finally(() => underWay.delete(sent));
			underWay.add(sent);
			if (underWay.size >= WINDOW) await Promise.race([lost.promise, ...underWay]);
		}
		await Promise.race([lost.promise, Promise.all(underWay)]);
		stopListening();
		return chain.outcome();
	}

	async #write(chain: Chain, k: number, write: Write): Promise<void> {
		const payload = write.stored === undefined ? new Uint8Array() : toBinary(StoredRuleSchema, write.stored);
		try {
			const ack = await this.#js.publish(`$KV.${buckets.rules}.${write.name}`, payload, {
				msgID: chain.messageId(k),
				headers: operationHeaders(write),
				timeout: ACK_TIMEOUT_MS,
				expect: {
					lastSequence: chain.base + k,
					...(k === 0 ? {} : { lastMsgID: chain.messageId(k - 1) }),
				},
			});
			chain.written.set(k, { write, revision: BigInt(ack.seq) });
		} catch (thrown) {
			chain.fail(k, thrown);
		}
	}
}

class Chain {
	readonly sent: Write[] = [];
	readonly written = new Map<number, WrittenRule>();
	/** Numbers of the writes that the storage refused. */
	readonly #refused = new Set<number>();
	#cause: unknown;
	#failure: AppendOutcome["failure"];

	constructor(
		readonly id: string,
		readonly base: number,
	) {}

	get broken(): boolean {
		return this.#failure !== undefined;
	}

	messageId(k: number): string {
		return `${this.id}.${k}`;
	}

	fail(k: number, thrown: unknown): void {
		this.#cause ??= thrown;
		if (isInterference(thrown)) {
			this.#failure ??= "interfered";
			this.#refused.add(k);
		} else {
			this.#failure = "unanswered";
		}
	}

	/** The answers to everything under way are lost. */
	lose(): void {
		this.#failure = "unanswered";
	}

	outcome(): AppendOutcome {
		const written = [...this.written].sort(([a], [b]) => a - b).map(([, rule]) => rule);
		if (this.#failure === undefined) return { written, uncertain: [] };
		const uncertain = this.sent.filter((_, k) => !this.written.has(k) && !this.#refused.has(k));
		return { written, uncertain, failure: this.#failure, cause: this.#cause };
	}
}

function operationHeaders(write: Write): MsgHdrs {
	const sent = headers();
	if (write.stored === undefined) sent.set("KV-Operation", "DEL");
	return sent;
}

function isInterference(thrown: unknown): boolean {
	if (!(thrown instanceof JetStreamApiError)) return false;
	return thrown.code === JetStreamApiCodes.StreamWrongLastSequence || thrown.code === WRONG_LAST_MESSAGE_ID;
}
