import type { HostRecord } from "@sluice/proto/gen/host";
import type { Chunk } from "./sample.ts";

interface Said {
	readonly incarnation: bigint;
	readonly workers: ReadonlySet<string>;
}

/**
 * What the hosts' own records say of their workers, which only supervisors write. Any worker may publish under any
 * number and incarnation of its host, and what it says must neither outlive the host's next start nor take more
 * memory than its workers do. Who is early speaks again within a second. Records are in nats-server's memory: what one
 * said last holds until another comes, or as long as figures of its host are known.
 */
export class KnownHosts {
	readonly #said = new Map<string, Said>();
	/** Hosts among them whose record is gone. */
	readonly #gone = new Set<string>();

	take(record: HostRecord): void {
		const workers = new Set(record.workers.map(({ worker }) => String(worker)));
		this.#said.set(record.host, { incarnation: record.incarnation, workers });
		this.#gone.delete(record.host);
	}

	recordGone(host: string): void {
		if (this.#said.has(host)) this.#gone.add(host);
	}

	/** @param isCounted whether figures of the host are known. */
	forgetGone(isCounted: (host: string) => boolean): void {
		for (const host of this.#gone) {
			if (isCounted(host)) continue;
			this.#gone.delete(host);
			this.#said.delete(host);
		}
	}

	/** Why counters on this subject cannot be of the host; undefined: they can, or it has said nothing yet. */
	strangeWorker(subject: string): string | undefined {
		const [, , , host = "", worker = ""] = subject.split(".");
		const said = this.#said.get(host);
		return said === undefined || said.workers.has(worker)
			? undefined
			: `host ${host} has no worker ${worker}`;
	}

	/** The same, of what was decoded. */
	strangeIncarnation({ host, incarnation }: Chunk): string | undefined {
		const said = this.#said.get(host);
		return said === undefined || incarnation <= said.incarnation
			? undefined
			: `of an up that host ${host} has not begun`;
	}

	/** Whether the host itself has said that it began so. */
	vouchesFor(host: string, incarnation: bigint): boolean {
		return (this.#said.get(host)?.incarnation ?? -1n) >= incarnation;
	}
}
