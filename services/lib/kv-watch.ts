import {
	type ConsumerMessages,
	type ConsumerNotification,
	DeliverPolicy,
	type JetStreamClient,
	type JsMsg,
	type PushConsumer,
	type StreamInfo,
} from "@nats-io/jetstream";
import type { Reading } from "./kv-reading.ts";
import { settlesWithin } from "./settles-within.ts";

export interface WatchOptions<Value> {
	readonly stream: string;
	readonly filter: string;
	/** Only what comes behind this sequence; absent: the last message of each key first. */
	readonly after: bigint | undefined;
	/** What `onMessage` fills. */
	readonly reading: Reading<Value>;
	readonly onMessage: (message: JsMsg) => void;
	/** Nothing more comes, or not of the same stream. */
	readonly onEnd: () => void;
	/** Another watch took over: neither is called any more. */
	readonly over: () => boolean;
}

/**
 * On disk the consumer would outlive us by five minutes, and fill the store of a host that
 * starts often. The client's types know this for pull consumers only; it passes it on.
 */
const CONSUMER_IN_MEMORY = { mem_storage: true };
/** A reading in which nothing comes for so long is asked about. */
const SILENCE_MS = 2_000;
const POLL_MS = 5;

/** One consumer of a bucket's stream: whether all comes that its server announced. */
export class BucketWatch<Value> {
	readonly #consumer: PushConsumer;
	readonly #messages: ConsumerMessages;
	readonly #options: WatchOptions<Value>;
	readonly #read: PromiseWithResolvers<void>;

	private constructor(
		consumer: PushConsumer,
		messages: ConsumerMessages,
		options: WatchOptions<Value>,
		read: PromiseWithResolvers<void>,
	) {
		this.#consumer = consumer;
		this.#messages = messages;
		this.#options = options;
		this.#read = read;
		void this.#followEvents(messages.status());
		void messages.closed().then((reason) => {
			if (options.over()) return;
			read.reject(reason instanceof Error ? reason : new Error("the watch ended"));
			if (options.reading.complete) options.onEnd();
		});
	}

	static async open<Value>(js: JetStreamClient, options: WatchOptions<Value>): Promise<BucketWatch<Value>> {
		const { stream, filter, after, onMessage, over } = options;
		const consumer = await js.consumers.getPushConsumer(stream, {
			filter_subjects: filter,
			...CONSUMER_IN_MEMORY,
			...(after === undefined
				? { deliver_policy: DeliverPolicy.LastPerSubject }
				: { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Number(after) + 1 }),
		});
		const { num_pending: announced } = await consumer.info(true);
		const read = Promise.withResolvers<void>();
		const messages = await consumer.consume({
			callback: (message) => {
				if (over()) return;
				onMessage(message);
				if (message.info.pending === 0) read.resolve();
			},
		});
		if (announced === 0) read.resolve();
		return new BucketWatch(consumer, messages, options, read);
	}

	/** Waits until all has come that there was. @throws when it does not. */
	async readAll(): Promise<void> {
		const { reading, over } = this.#options;
		while (!over() && !(await settlesWithin(this.#read.promise, SILENCE_MS))) {
			if (!reading.silentSinceLastAsked()) continue;
			await this.#requireNothingLeft();
			return;
		}
	}

	/**
	 * How many keys the stream lists; of those that did not come nobody can read any: the index of a damaged store still has
	 * them. A key that was written while we read has its place behind what was there, so that we look again when that has come.
	 */
	async keysListed({ state }: StreamInfo, look: () => Promise<StreamInfo>): Promise<number> {
		const { reading, over } = this.#options;
		if (reading.keys >= (state.num_subjects ?? 0)) return reading.keys;
		const { state: now } = await look();
		const quiet = () => performance.now() - reading.lastCameMs > SILENCE_MS;
		while (!over() && reading.lastSequence < BigInt(now.last_seq) && !quiet()) await Bun.sleep(POLL_MS);
		if (!over() && quiet()) await this.#requireNothingLeft();
		return now.num_subjects ?? 0;
	}

	stop(): void {
		this.#messages.stop();
	}

	/** A server whose store is damaged announces more than it can read, and then is silent. */
	async #requireNothingLeft(): Promise<void> {
		const { num_pending: left } = await this.#consumer.info();
		if (left > 0) throw new Error(`nothing comes, though ${left} entries are announced`);
	}

	/** When the library had to make the consumer anew, the stream may be another one: look again. */
	async #followEvents(events: AsyncIterable<ConsumerNotification>): Promise<void> {
		const { over, onEnd } = this.#options;
		for await (const { type } of events) {
			if (over()) return;
			if (type === "ordered_consumer_recreated" || type === "stream_not_found") return onEnd();
		}
	}
}
