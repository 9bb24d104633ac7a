import { untilBeatMs } from "@sluice/lib/beat";
import { protocolComplaint } from "@sluice/lib/protocol";
import { PROTOCOL_VERSION } from "@sluice/proto/subjects";

/** Nothing tells when control-api is another version. */
const LOOK_EVERY_MS = 5_000;
/** While it does not fit, or could not be asked. */
const LOOK_AGAIN_MS = 500;

/** Whether the cluster speaks this host's version of the protocol, as control-api stamped it. */
export class ProtocolWatch {
	readonly #host: string;
	readonly #read: () => Promise<number | undefined>;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#stopped = false;

	/** @param read what the bucket of rules says; may reject. */
	constructor(host: string, read: () => Promise<number | undefined>) {
		this.#host = host;
		this.#read = read;
	}

	/** Empty: it does. Waits that long for a control-api that is being started, which raises an earlier stamp. */
	async complaint(graceMs: number): Promise<string> {
		const deadline = performance.now() + graceMs;
		for (;;) {
			const complaint = protocolComplaint(PROTOCOL_VERSION, await this.#read()) ?? "";
			if (complaint === "" || performance.now() + LOOK_AGAIN_MS > deadline) return complaint;
			await Bun.sleep(LOOK_AGAIN_MS);
		}
	}

	/** Calls back with what there is to complain of, each time it was looked at. */
	follow(callback: (complaint: string) => void): void {
		const look = async () => {
			let again = LOOK_AGAIN_MS;
			try {
				const complaint = await this.complaint(0);
				if (this.#stopped) return;
				callback(complaint);
				if (complaint === "") again = untilBeatMs(this.#host, LOOK_EVERY_MS);
			} catch {
				// NATS is away: what was last known holds.
			}
			if (!this.#stopped) this.#timer = setTimeout(() => void look(), again);
		};
		void look();
	}

	stop(): void {
		this.#stopped = true;
		clearTimeout(this.#timer);
	}
}
