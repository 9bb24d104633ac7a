import type { JetStreamClient } from "@nats-io/jetstream";
import type { Write } from "../rules/plan.ts";
import type { ConnectionWatch } from "./connection-watch.ts";
import { isInterference, operationHeaders, payloadOf, type RuleBatches, subjectOf } from "./rule-batches.ts";

export interface WrittenRule {
	readonly write: Write;
	readonly revision: bigint;
}

export interface AppendOutcome {
	/** Durable, in order. */
	readonly written: readonly WrittenRule[];
	/** Sent, but the storage's answer never came: may be durable or not. */
	readonly uncertain: readonly Write[];
	/**
	 * Absent: everything is written, or all up to a pause. `interfered`: somebody else wrote in between. `stalled`: the
	 * server answers, but no write, and stores none.
	 */
	readonly failure?: "interfered" | "unanswered" | "stalled";
	readonly cause?: unknown;
}

/** Enough to keep the storage busy, few enough to stop soon; refilled when half of it is answered. */
export const WINDOW = 256;
/** Of writes; the server takes 1,000. Edits of single rules come in between. */
const BATCH = 512;
const ACK_TIMEOUT_MS = 10_000;
/** Without an answer for so long, the server is asked whether it stores anything. */
const QUIET_MS = 2_000;

/**
 * Writes rules with compare-and-set on the whole stream. The first write expects
 * the sequence that the caller's snapshot ends with. Each further one is sent
 * without waiting and expects, besides its sequence, the message id of the one
 * before: after somebody else's write the sequences alone would match again one
 * message later, and the rest would slip in unchecked. A server that has atomic
 * batches gets several writes as one of those, for which one check is enough.
 */
export class RuleLog {
	readonly #js: Pick<JetStreamClient, "publish">;
	readonly #connection: Pick<ConnectionWatch, "onLost">;
	readonly #batches: RuleBatches | undefined;
	readonly #storedUpTo: () => Promise<bigint>;

	/** @param storedUpTo asks the server for the stream's last sequence. */
	constructor(
		js: Pick<JetStreamClient, "publish">,
		connection: Pick<ConnectionWatch, "onLost">,
		storedUpTo: () => Promise<bigint>,
		batches?: RuleBatches,
	) {
		this.#js = js;
		this.#connection = connection;
		this.#storedUpTo = storedUpTo;
		this.#batches = batches;
	}

	/** Sends no more once `pause` says so, which is asked at each refill of the window, and after each batch. */
	async append(
		writes: readonly Write[],
		lastSequence: bigint,
		pause: () => boolean = () => false,
	): Promise<AppendOutcome> {
		if (writes.length > 1 && this.#batches?.possible === true)
			return await this.#appendBatches(this.#batches, writes, lastSequence, pause);
		const chain = new Chain(crypto.randomUUID(), Number(lastSequence));
		const stopListening = this.#connection.onLost(() => chain.lose("unanswered"));
		const stopWatching = this.#watch(
			() => chain.reached,
			(cause) => chain.lose("stalled", cause),
		);
		for (const [k, write] of writes.entries()) {
			const full = chain.underWay >= WINDOW;
			if (full) await chain.drainTo(WINDOW / 2);
			if (chain.broken || (full && pause())) break;
			chain.sent.push(write);
			void this.#write(chain, k, write, k + 1 < writes.length);
		}
		await chain.drainTo(0);
		stopListening();
		stopWatching();
		return chain.outcome();
	}

	/** One after the other: each is one write to the disk, whatever its size. */
	async #appendBatches(
		batches: RuleBatches,
		writes: readonly Write[],
		lastSequence: bigint,
		pause: () => boolean,
	): Promise<AppendOutcome> {
		const written: WrittenRule[] = [];
		for (let done = 0; done < writes.length && !(done > 0 && pause()); done = written.length) {
			const some = writes.slice(done, done + BATCH);
			const base = lastSequence + BigInt(done);
			const lost = Promise.withResolvers<never>();
			const stopListening = this.#connection.onLost(() => lost.reject(new Error("the connection was lost")));
			const stopWatching = this.#watch(() => base, lost.reject);
			try {
				const more = done + some.length < writes.length;
				await Promise.race([batches.write(some, base, ACK_TIMEOUT_MS, more), lost.promise]);
			} catch (cause) {
				const failure = failureOf(cause);
				return { written, uncertain: failure === "interfered" ? [] : some, failure, cause };
			} finally {
				stopListening();
				stopWatching();
			}
			for (const [k, write] of some.entries()) written.push({ write, revision: base + BigInt(k + 1) });
		}
		return { written, uncertain: [] };
	}

	/**
	 * Newer servers do not answer a write that the disk refuses, nor any after it (ADR 0123). A slow disk keeps the server
	 * from answering the question too.
	 * @param reached the sequence up to which writes were answered.
	 */
	#watch(reached: () => bigint, onStall: (stall: Stall) => void): () => void {
		let seen = reached();
		const look = async () => {
			const quiet = seen === reached();
			seen = reached();
			if (!quiet) return;
			const stored = await this.#storedUpTo().catch(() => undefined);
			if (stored !== undefined && stored <= seen && seen === reached()) onStall(new Stall("no answer"));
		};
		const timer = setInterval(() => void look(), QUIET_MS);
		return () => clearInterval(timer);
	}

	async #write(chain: Chain, k: number, write: Write, more: boolean): Promise<void> {
		try {
			const ack = await this.#js.publish(subjectOf(write), payloadOf(write), {
				msgID: chain.messageId(k),
				headers: operationHeaders(write, more),
				timeout: ACK_TIMEOUT_MS,
				expect: {
					lastSequence: chain.base + k,
					...(k === 0 ? {} : { lastMsgID: chain.messageId(k - 1) }),
				},
			});
			chain.succeed(k, { write, revision: BigInt(ack.seq) });
		} catch (thrown) {
			chain.fail(k, thrown);
		}
	}
}

class Stall extends Error {}

function failureOf(thrown: unknown): NonNullable<AppendOutcome["failure"]> {
	if (thrown instanceof Stall) return "stalled";
	return isInterference(thrown) ? "interfered" : "unanswered";
}

/** The writes of one append and what became of each. */
class Chain {
	readonly sent: Write[] = [];
	readonly #written = new Map<number, WrittenRule>();
	/** Numbers of the writes that the storage refused. */
	readonly #refused = new Set<number>();
	#unanswered = 0;
	#lost = false;
	#cause: unknown;
	#failure: AppendOutcome["failure"];
	/** Somebody waits until no more than so many are under way. */
	#waiter: { readonly most: number; wake(): void } | undefined;

	constructor(
		readonly id: string,
		readonly base: number,
	) {}

	/** Up to which all is answered. */
	get reached(): bigint {
		return BigInt(this.base + this.#written.size);
	}

	get broken(): boolean {
		return this.#failure !== undefined;
	}

	/** Sent and without an answer that may still come. */
	get underWay(): number {
		if (this.#lost) return 0;
		return this.sent.length - this.#written.size - this.#refused.size - this.#unanswered;
	}

	messageId(k: number): string {
		return `${this.id}.${k}`;
	}

	succeed(k: number, written: WrittenRule): void {
		this.#written.set(k, written);
		this.#settle();
	}

	fail(k: number, thrown: unknown): void {
		this.#cause ??= thrown;
		if (isInterference(thrown)) {
			this.#failure ??= "interfered";
			this.#refused.add(k);
		} else {
			if (this.#failure !== "stalled") this.#failure = "unanswered";
			this.#unanswered += 1;
		}
		this.#settle();
	}

	/** The answers to everything under way never come. */
	lose(failure: "unanswered" | "stalled", cause?: unknown): void {
		this.#failure = failure;
		this.#cause ??= cause;
		this.#lost = true;
		this.#settle();
	}

	/** Waits until no more than so many are under way; at most one waits. */
	async drainTo(most: number): Promise<void> {
		if (this.underWay <= most) return;
		await new Promise<void>((wake) => {
			this.#waiter = { most, wake };
		});
	}

	outcome(): AppendOutcome {
		const written = [...this.#written].sort(([a], [b]) => a - b).map(([, rule]) => rule);
		if (this.#failure === undefined) return { written, uncertain: [] };
		const uncertain = this.sent.filter((_, k) => !this.#written.has(k) && !this.#refused.has(k));
		return { written, uncertain, failure: this.#failure, cause: this.#cause };
	}

	#settle(): void {
		if (this.#waiter === undefined || this.underWay > this.#waiter.most) return;
		this.#waiter.wake();
		this.#waiter = undefined;
	}
}
