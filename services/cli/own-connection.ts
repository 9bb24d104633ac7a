import type { NatsConnection } from "@nats-io/transport-node";
import { SluiceError } from "@sluice/lib/errors";

const AGAIN_MS = 100;

export class ConnectionLost extends Error {}

type Ask<T> = (timeoutMs: number) => Promise<T>;

/**
 * A command's connection, which is made anew by itself. What was asked over a lost one has no answer: a server that was
 * started anew has forgotten who may give it. What is asked while it is away is not even sent.
 */
export class OwnConnection {
	#away = false;
	#wasLost = false;
	readonly #onLost = new Set<() => void>();

	constructor(nc: Pick<NatsConnection, "status">) {
		void this.#follow(nc);
	}

	get away(): boolean {
		return this.#away;
	}

	/** Asks when the connection is there; throws ConnectionLost as soon as it is lost then. */
	async once<T>(ask: Ask<T>, timeoutMs: number): Promise<T> {
		const deadlineMs = performance.now() + timeoutMs;
		const leftMs = () => Math.ceil(deadlineMs - performance.now());
		while (this.#away) {
			if (leftMs() <= 0) throw new SluiceError("unavailable", "the connection to NATS stays away");
			await Bun.sleep(Math.min(AGAIN_MS, leftMs()));
		}
		const lost = Promise.withResolvers<never>();
		const loss = () => lost.reject(new ConnectionLost());
		this.#onLost.add(loss);
		try {
			return await Promise.race([ask(Math.max(1, leftMs())), lost.promise]);
		} finally {
			this.#onLost.delete(loss);
		}
	}

	/** Asks again after each loss, and until the services, whose connections were lost too, are back. */
	async untilAnswered<T>(ask: Ask<T>, timeoutMs: number): Promise<T> {
		const deadlineMs = performance.now() + timeoutMs;
		for (let leftMs = timeoutMs; ; leftMs = deadlineMs - performance.now()) {
			try {
				return await this.once(ask, leftMs);
			} catch (error) {
				const passing = error instanceof ConnectionLost || (this.#wasLost && isUnavailable(error));
				if (!passing || performance.now() + AGAIN_MS > deadlineMs) throw error;
				await Bun.sleep(AGAIN_MS);
			}
		}
	}

	async #follow(nc: Pick<NatsConnection, "status">): Promise<void> {
		for await (const { type } of nc.status()) {
			if (type === "reconnect") this.#away = false;
			if (type !== "disconnect") continue;
			this.#away = true;
			this.#wasLost = true;
			for (const loss of [...this.#onLost]) loss();
		}
	}
}

function isUnavailable(error: unknown): boolean {
	return error instanceof SluiceError && error.code === "unavailable";
}
