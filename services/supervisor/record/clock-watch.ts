import type { SnapshotEntry } from "@sluice/lib/kv-snapshot";
import type { HostRecord } from "@sluice/proto/gen/host";

/** More than a record's way to the server takes on a busy machine. */
const OFF_SECONDS = 10;

/** Says when this host's clock and the server's differ: nothing here depends on it, but whoever reads log lines does. */
export class ClockWatch {
	readonly #log: { warn(message: string): void; info(message: string): void };
	#off = false;

	constructor(log: { warn(message: string): void; info(message: string): void }) {
		this.#log = log;
	}

	/** This host's own record, as it came back: it says when it was written, and so does the server. */
	look({
		value,
		writtenUnixMs,
	}: Pick<SnapshotEntry<Pick<HostRecord, "atUnixMs">>, "value" | "writtenUnixMs">) {
		const aheadSeconds = Math.round((Number(value.atUnixMs) - writtenUnixMs) / 1_000);
		const off = Math.abs(aheadSeconds) > OFF_SECONDS;
		if (off === this.#off) return;
		this.#off = off;
		if (!off) this.#log.info("this host's clock agrees with nats-server's again");
		else {
			const how = `${Math.abs(aheadSeconds)} s ${aheadSeconds > 0 ? "ahead of" : "behind"}`;
			this.#log.warn(
				`this host's clock is ${how} nats-server's: rules and figures do not depend on it, times in logs and events do: set it right, by NTP for instance`,
			);
		}
	}
}
