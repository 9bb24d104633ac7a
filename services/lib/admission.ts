import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";
import { refusal, untrusted } from "./server-trust.ts";

/** Whose credentials they are, and who is told, once until the server lets them in, that it does not. */
export interface AdmissionOptions {
	readonly url: string;
	/** The host that joined with them: what is wrong is mended by making its file anew. */
	readonly host?: string;
	/** While it waits, or connects anew: the server is there, and does not let us in. */
	readonly onRefused?: (why: string) => void;
	/** Likewise: the server is there, and not believed; what it lacks, and what to do. */
	readonly onUntrusted?: (why: string) => void;
}

/** Asked for its key so often in a row, it is refused: once or twice means nothing. */
const ASKED_IN_VAIN = 3;

const LOOK_EVERY_MS = 2_000;

/** Why a connection that is tried again and again is in vain: the client tells its owner nothing of that. */
export class Admission {
	readonly #options: AdmissionOptions;
	#away = true;
	#asked = 0;
	#distrusted = false;
	#looks = false;
	#once: ConnectionOptions | undefined;
	#looking: ReturnType<typeof setInterval> | undefined;

	constructor(options: AdmissionOptions) {
		this.#options = options;
	}

	get inVain(): boolean {
		return this.#distrusted || this.#asked >= ASKED_IN_VAIN;
	}

	/** The server wants our key. */
	asked(): void {
		this.#asked += 1;
		if (this.#asked === ASKED_IN_VAIN) this.#options.onRefused?.(refusal(this.#options));
	}

	/** @param once how to connect one time, to see whether the server is believed. */
	look(once: ConnectionOptions): void {
		this.#once = once;
		this.#beginToLook();
	}

	end(): void {
		clearInterval(this.#looking);
		this.#looking = undefined;
	}

	async follow(nc: NatsConnection): Promise<void> {
		this.#letIn();
		void nc.closed().then(() => this.end());
		for await (const { type } of nc.status()) {
			if (type === "reconnect") this.#letIn();
			else if (type === "disconnect" && !nc.isClosed()) this.#isAway();
		}
	}

	#isAway(): void {
		this.#away = true;
		this.#beginToLook();
	}

	/** Only while it is away: an idle process is not woken for it. */
	#beginToLook(): void {
		const once = this.#once;
		if (once === undefined) return;
		this.#looking ??= setInterval(() => void this.#look(once), LOOK_EVERY_MS);
		this.#looking.unref();
	}

	#letIn(): void {
		this.#asked = 0;
		this.#away = false;
		this.#distrusted = false;
		this.end();
	}

	async #look(once: ConnectionOptions): Promise<void> {
		// A server that asked for the key was believed.
		if (!this.#away || this.#asked > 0 || this.#distrusted || this.#looks) return;
		this.#looks = true;
		const why = await this.#whyUntrusted(once);
		this.#looks = false;
		if (why === undefined || !this.#away) return;
		this.#distrusted = true;
		this.#options.onUntrusted?.(why);
	}

	async #whyUntrusted(once: ConnectionOptions): Promise<string | undefined> {
		try {
			await (await connect({ ...once, reconnect: false })).close();
			return undefined;
		} catch (thrown) {
			return untrusted(this.#options, thrown)?.message;
		}
	}
}
