import { SluiceError } from "@sluice/lib/errors";
import { isPresent } from "@sluice/lib/rule-status";
import type { RunningControlApi } from "../control-api.ts";
import { recordDiffers } from "../hosts/host-view.ts";

export interface EventLimits {
	readonly clients: number;
	/** Events that a client may lag behind before it is cut off. */
	readonly backlog: number;
	readonly heartbeatMs: number;
}

const eventLimits: EventLimits = { clients: 64, backlog: 1_000, heartbeatMs: 15_000 };

interface Client {
	readonly controller: ReadableStreamDefaultController<Uint8Array>;
	close(): void;
}

/** Changes of rules and hosts as server-sent events. */
export class EventFeed {
	readonly #api: RunningControlApi;
	readonly #limits: EventLimits;
	readonly #clients = new Set<Client>();
	readonly #gone = new Set<string>();
	readonly #ends: (() => void)[] = [];

	constructor(api: RunningControlApi, bounds: EventLimits = eventLimits) {
		this.#api = api;
		this.#limits = bounds;
		for (const [host, seen] of api.hosts.observed()) if (!isPresent(seen)) this.#gone.add(host);
		this.#ends.push(
			api.book.snapshot.onChange(({ key, entry, revision }) => {
				const uid = entry?.value.uid ?? "";
				this.#send(
					"rule",
					{ name: key, uid, revision: String(revision), removed: entry === undefined },
					revision,
				);
			}),
			api.presence.onChange(({ host, gone, stopped, forgotten }) => {
				if (!gone) return;
				if (!forgotten) this.#gone.add(host);
				this.#send("host", { host, gone, stopped, ...(forgotten ? { forgotten } : {}) });
			}),
			api.hosts.snapshot.onChange(({ key, entry, previous }) => {
				if (entry?.value.stopped === true) return;
				const back = this.#gone.delete(key);
				if (entry === undefined || !(back || recordDiffers(previous?.value, entry.value))) return;
				const appliedSequence = String(entry.value.appliedSequence);
				this.#send("host", { host: key, gone: false, appliedSequence });
			}),
		);
		const heartbeat = setInterval(() => this.#broadcast(": still here\n\n"), bounds.heartbeatMs);
		this.#ends.push(() => clearInterval(heartbeat));
	}

	/** A stream for one more client; refuses when there are enough. */
	open(signal: AbortSignal): ReadableStream<Uint8Array> {
		if (this.#clients.size >= this.#limits.clients) {
			throw new SluiceError("unavailable", `${this.#limits.clients} clients listen already: try again later`);
		}
		let client: Client | undefined;
		return new ReadableStream<Uint8Array>({
			start: (controller) => {
				client = { controller, close: () => this.#close(client) };
				this.#clients.add(client);
				signal.addEventListener("abort", client.close, { once: true });
				const revision = this.#api.book.snapshot.lastSequence;
				controller.enqueue(bytes(eventText("ready", { revision: String(revision) }, revision)));
			},
			cancel: () => client?.close(),
		});
	}

	stop(): void {
		for (const end of this.#ends) end();
		for (const client of [...this.#clients]) this.#close(client);
	}

	#close(client: Client | undefined): void {
		if (client === undefined || !this.#clients.delete(client)) return;
		try {
			client.controller.close();
		} catch {
			// The client cancelled: closed already.
		}
	}

	#send(event: string, data: object, id?: bigint): void {
		this.#broadcast(eventText(event, data, id));
	}

	#broadcast(text: string): void {
		if (this.#clients.size === 0) return;
		const chunk = bytes(text);
		for (const client of [...this.#clients]) {
			// One that does not read must not hold our memory; it reconnects and reads anew.
			if ((client.controller.desiredSize ?? 0) < -this.#limits.backlog) this.#close(client);
			else client.controller.enqueue(chunk);
		}
	}
}

function eventText(event: string, data: object, id?: bigint): string {
	return `event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

function bytes(text: string): Uint8Array {
	return new TextEncoder().encode(text);
}
