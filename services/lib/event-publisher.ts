import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { CONTENT_TYPE_HEADER, JSON_CONTENT_TYPE } from "./headers.ts";
import { toJsonText } from "./json.ts";

/** Twice as many as one apply of the largest cluster makes. */
const WAITING_EVENTS = 40_000;
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

	constructor(nc: Pick<NatsConnection, "publish" | "isClosed">, waitingLimit = WAITING_EVENTS) {
		this.#nc = nc;
		this.#waitingLimit = waitingLimit;
	}

	/** So many were dropped since it began. */
	get dropped(): number {
		return this.#dropped;
	}

	tell<Schema extends DescMessage>(subject: string, schema: Schema, event: MessageInitShape<Schema>): void {
		if (this.#waiting.length >= this.#waitingLimit) {
			this.#dropped += 1;
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
			if (this.#nc.isClosed()) this.#dropped += 1;
			else publish();
		} catch {
			// The connection closes: nobody hears of it.
			this.#dropped += 1;
		}
	}
}

function eventHeaders() {
	const sent = headers();
	sent.set(CONTENT_TYPE_HEADER, JSON_CONTENT_TYPE);
	return sent;
}
