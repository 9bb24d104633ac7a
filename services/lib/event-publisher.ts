import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { CONTENT_TYPE_HEADER, JSON_CONTENT_TYPE } from "./headers.ts";
import { toJsonText } from "./json.ts";

/** Twice as many as one apply of the largest cluster makes. */
const WAITING_EVENTS = 40_000;
/** While events are dropped, it is said so often. */
const SAID_EVERY_MS = 10_000;
/** In one go, about 2 ms: requests and packets' tables come in between. */
const EVENTS_A_SLICE = 200;

/**
 * Publishes events in JSON without anybody waiting for it: what is told is sent a little later, in order, and when
 * more is told than can be sent, or NATS is away, it is dropped. Events are hints; the state is read elsewhere.
 */
export class EventPublisher {
	readonly #nc: Pick<NatsConnection, "publish" | "isClosed">;
	readonly #waitingLimit: number;
	readonly #headers = eventHeaders();
	#waiting: (() => void)[] = [];
	#running = false;
	#dropped = 0;
	readonly #onDropped: (dropped: number) => void;
	readonly #sayEveryMs: number;
	#saying: ReturnType<typeof setTimeout> | undefined;

	/** @param onDropped told how many in all, at most once in the time. */
	constructor(
		nc: Pick<NatsConnection, "publish" | "isClosed">,
		onDropped: (dropped: number) => void,
		waitingLimit = WAITING_EVENTS,
		sayEveryMs = SAID_EVERY_MS,
	) {
		this.#sayEveryMs = sayEveryMs;
		this.#nc = nc;
		this.#onDropped = onDropped;
		this.#waitingLimit = waitingLimit;
	}

	/** So many were dropped since it began. */
	get dropped(): number {
		return this.#dropped;
	}

	tell<Schema extends DescMessage>(subject: string, schema: Schema, event: MessageInitShape<Schema>): void {
		if (this.#waiting.length >= this.#waitingLimit) {
			this.#drop();
			return;
		}
		this.#waiting.push(() =>
			this.#nc.publish(subject, toJsonText(schema, create(schema, event)), { headers: this.#headers }),
		);
		if (this.#running) return;
		this.#running = true;
		setImmediate(() => this.#slice());
	}

	#slice(): void {
		const slice = this.#waiting.splice(0, EVENTS_A_SLICE);
		for (const publish of slice) this.#try(publish);
		this.#running = this.#waiting.length > 0;
		if (this.#running) setImmediate(() => this.#slice());
	}

	#try(publish: () => void): void {
		try {
			if (this.#nc.isClosed()) this.#drop();
			else publish();
		} catch {
			// The connection closes: nobody hears of it.
			this.#drop();
		}
	}

	#drop(): void {
		this.#dropped += 1;
		this.#saying ??= setTimeout(() => {
			this.#saying = undefined;
			this.#onDropped(this.#dropped);
		}, this.#sayEveryMs).unref();
	}
}

/** For a service's log. */
export function sayDropped(log: { warn(fields: object, message: string): void }): (dropped: number) => void {
	return (dropped) =>
		log.warn(
			{ dropped },
			"events were dropped, more than could be sent: whoever watches asks for rules and hosts anew",
		);
}

function eventHeaders() {
	const sent = headers();
	sent.set(CONTENT_TYPE_HEADER, JSON_CONTENT_TYPE);
	return sent;
}
