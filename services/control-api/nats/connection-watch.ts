import type { NatsConnection } from "@nats-io/transport-node";

/** Says at once when the connection is lost; the client alone would let requests run into their time. */
export class ConnectionWatch {
	readonly #listeners = new Set<() => void>();

	constructor(nc: Pick<NatsConnection, "status">) {
		void this.#follow(nc);
	}

	/** Calls back at the next loss and every one after; returns the way to stop. */
	onLost(callback: () => void): () => void {
		this.#listeners.add(callback);
		return () => this.#listeners.delete(callback);
	}

	async #follow(nc: Pick<NatsConnection, "status">): Promise<void> {
		for await (const status of nc.status()) {
			if (status.type !== "disconnect" && status.type !== "close") continue;
			for (const listener of [...this.#listeners]) listener();
		}
	}
}
