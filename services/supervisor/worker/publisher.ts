import { uptime } from "node:os";
import { errors, type NatsConnection } from "@nats-io/transport-node";
import type { Snapshot } from "@sluice/dataplane/worker";
import { countersSubject } from "@sluice/proto/subjects";
import type { Logger } from "../logger.ts";
import { EncodedRows, encodeCounters } from "./encode-counters.ts";

export interface PublisherOptions {
	readonly host: string;
	readonly worker: number;
	readonly incarnation: bigint;
	readonly snapshot: () => Snapshot | undefined;
	readonly log: Logger;
}

/** Publishes a worker's counters: absolute values, so that a lost publication costs nothing. */
export class CountersPublisher {
	readonly #options: PublisherOptions;
	/**
	 * Milliseconds grow faster than one publication a second: a successor goes on above its predecessor.
	 * Those of the machine, since somebody may set its clock back.
	 */
	#sequence = BigInt(Math.round(uptime() * 1_000));
	readonly #rows = new EncodedRows();
	#nc: NatsConnection | undefined;
	#connected = false;

	constructor(options: PublisherOptions) {
		this.#options = options;
	}

	/** From now on there is somewhere to publish to. */
	use(nc: NatsConnection): void {
		this.#nc = nc;
		this.#connected = true;
		void this.#watch(nc);
	}

	publish(): void {
		// What is published while disconnected is lost without an error.
		if (this.#nc === undefined || !this.#connected) return;
		const { host, worker, incarnation, snapshot, log } = this.#options;
		const values = snapshot();
		if (values === undefined) return;
		this.#sequence += 1n;
		const origin = { host, worker, incarnation, sequence: this.#sequence, atMs: Date.now() };
		const chunks = encodeCounters(values, origin, this.#rows);
		for (const [chunk, bytes] of chunks.entries())
			this.#nc.publish(countersSubject(host, worker, chunk), bytes);
		log.trace({ rules: values.ruleCount, chunks: chunks.length }, "counters published");
	}

	/** Delivers what is under way. */
	async stop(): Promise<void> {
		this.#connected = false;
		await this.#nc?.drain();
	}

	async #watch(nc: NatsConnection): Promise<void> {
		const { log } = this.#options;
		for await (const status of nc.status()) {
			if (status.type === "disconnect") {
				// Each attempt that fails is told as the end of a connection.
				if (!this.#connected) continue;
				this.#connected = false;
				log.warn("NATS is away: counters go on and are published when it is back");
			} else if (status.type === "reconnect") {
				this.#connected = true;
				log.info("NATS is back");
			} else if (status.type === "error") {
				// That this host is refused its supervisor says, with what to do.
				const level = status.error instanceof errors.AuthorizationError ? "debug" : "warn";
				log[level]({ error: status.error.message }, "NATS refused something");
			}
		}
	}
}
