import { create, toBinary } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import type { BucketSnapshot, SnapshotEntry } from "@sluice/lib/kv-snapshot";
import { protocolComplaint } from "@sluice/lib/protocol";
import { HOST_GONE_SECONDS, isPresent, type ObservedHost } from "@sluice/lib/rule-status";
import {
	type HostRecord,
	HostRecordSchema,
	HostSchema,
	type ListHostsResponse,
	ListHostsResponseSchema,
} from "@sluice/proto/gen/host";
import { type ListWorkersResponse, ListWorkersResponseSchema } from "@sluice/proto/gen/worker";
import { PROTOCOL_VERSION } from "@sluice/proto/subjects";
import { NOT_CURRENT } from "../not-current.ts";

const GONE_MS = HOST_GONE_SECONDS * 1_000;

/**
 * The hosts as their records arrive. How long ago a host was seen is measured
 * from the arrival by our own clock: the hosts' clocks may be anywhere.
 */
export class HostView {
	readonly snapshot: BucketSnapshot<HostRecord>;
	/** Monotonic milliseconds of the last arrival. */
	readonly #arrivedMs = new Map<string, number>();
	/** Records that went with nats-server's memory, of hosts that are expected to write them anew. */
	readonly #lost = new Map<string, HostRecord>();
	/** Monotonic milliseconds. */
	readonly #firstCurrentMs: number;
	readonly #now: () => number;

	constructor(snapshot: BucketSnapshot<HostRecord>, now: () => number = () => performance.now()) {
		this.snapshot = snapshot;
		this.#firstCurrentMs = snapshot.currentSinceMs;
		this.#now = now;
		for (const [host, entry] of snapshot.entries) {
			// Written before we came: the server's clock tells the age.
			const age = Math.max(0, Date.now() - entry.writtenUnixMs);
			this.#arrivedMs.set(host, this.#now() - age);
		}
		snapshot.onChange(({ key, entry, previous, lost }) => {
			this.#lost.delete(key);
			if (entry !== undefined) this.#arrivedMs.set(key, this.#now());
			else if (lost === true && previous !== undefined && this.#wasThere(key))
				this.#lost.set(key, previous.value);
			else this.#arrivedMs.delete(key);
		});
	}

	observed(): ReadonlyMap<string, ObservedHost> {
		this.#forgetLost();
		const observed = new Map<string, ObservedHost>();
		for (const [host, { value }] of this.snapshot.entries) observed.set(host, this.#seen(host, value));
		for (const [host, record] of this.#lost) observed.set(host, this.#seen(host, record));
		return observed;
	}

	listHosts(): ListHostsResponse {
		this.#requireCurrent();
		const hosts = this.#sorted().map(({ record, lastSeenSeconds }) =>
			create(HostSchema, {
				host: record.host,
				labels: record.labels,
				interfaces: record.interfaces,
				appliedSequence: record.appliedSequence,
				lastSeenSeconds,
				incarnation: record.incarnation,
				ringBytes: record.ringBytes,
				ringLimitBytes: record.ringLimitBytes,
				version: record.version,
				kernel: record.kernel,
				protocolVersion: record.protocolVersion,
				cores: record.cores,
				idle: record.idle,
				priority: record.priority,
				// One of an earlier version does not say so itself.
				holding: record.holding || (protocolComplaint(record.protocolVersion, PROTOCOL_VERSION) ?? ""),
				stopped: record.stopped,
			}),
		);
		return create(ListHostsResponseSchema, { hosts });
	}

	/** Workers of the hosts that are there: those of one that was stopped ended with it, of others nobody knows. */
	listWorkers(): ListWorkersResponse {
		this.#requireCurrent();
		const workers = this.#sorted()
			.filter(isPresent)
			.flatMap(({ record }) => record.workers.map((worker) => ({ ...worker, host: record.host })));
		return create(ListWorkersResponseSchema, { workers });
	}

	/** One host that is there. @throws SluiceError when it is not, or nobody can say. */
	present(host: string): HostRecord {
		this.#requireCurrent();
		const seen = this.observed().get(host);
		if (seen === undefined)
			throw new SluiceError("not_found", `there is no host ${JSON.stringify(host)}: see sluice host list`);
		if (seen.record.stopped)
			throw new SluiceError("timeout", `host ${host} was stopped: start sluice up there`);
		if (!isPresent(seen)) {
			const silent = `host ${host} was not seen for ${Math.floor(seen.lastSeenSeconds)} s`;
			throw new SluiceError("timeout", `${silent}: look at sluice up there`);
		}
		return seen.record;
	}

	/** What is known of a host that is gone; undefined: nothing. @throws SluiceError when it is there. */
	gone(host: string): SnapshotEntry<HostRecord> | undefined {
		this.#requireCurrent();
		const seen = this.observed().get(host);
		if (seen === undefined || !isPresent(seen)) return this.snapshot.entries.get(host);
		const text =
			seen.awaited === true
				? `host ${host} may be there, since NATS was away: try again in ${HOST_GONE_SECONDS} s`
				: `host ${host} is there, seen ${seen.lastSeenSeconds.toFixed(1)} s ago: stop sluice up there first`;
		throw new SluiceError("conflict", text);
	}

	#requireCurrent(): void {
		if (!this.snapshot.current) {
			throw new SluiceError("unavailable", NOT_CURRENT);
		}
	}

	#sorted(): ObservedHost[] {
		return [...this.observed().values()].sort((a, b) => (a.record.host < b.record.host ? -1 : 1));
	}

	/** While we heard nobody, nobody was silent: who is gone is not known before we listened for as long as that takes. */
	#seen(host: string, record: HostRecord): ObservedHost {
		const silentMs = this.#now() - this.#arrived(host);
		const heardMs = this.#now() - this.#listensSinceMs;
		const awaited = silentMs > heardMs && heardMs <= GONE_MS && !record.stopped && this.#wasThere(host);
		const lastSeenSeconds = Math.round(Math.max(0, awaited ? heardMs : silentMs)) / 1_000;
		return { record, lastSeenSeconds, ...(awaited ? { awaited } : {}) };
	}

	/** When NATS went away: it was not gone then. */
	#wasThere(host: string): boolean {
		return this.snapshot.currentUntilMs - this.#arrived(host) <= GONE_MS;
	}

	#arrived(host: string): number {
		return this.#arrivedMs.get(host) ?? Number.NEGATIVE_INFINITY;
	}

	/** When the snapshot was current again; what it knew when we began had its age from the server. */
	get #listensSinceMs(): number {
		const since = this.snapshot.currentSinceMs;
		return since === this.#firstCurrentMs ? Number.NEGATIVE_INFINITY : since;
	}

	#forgetLost(): void {
		if (this.#now() - this.#listensSinceMs <= GONE_MS) return;
		for (const host of this.#lost.keys()) this.#arrivedMs.delete(host);
		this.#lost.clear();
	}
}

/** True when a record says something new and is not only a heartbeat. */
export function recordDiffers(before: HostRecord | undefined, after: HostRecord): boolean {
	if (before === undefined) return true;
	const content = (record: HostRecord) =>
		toBinary(HostRecordSchema, create(HostRecordSchema, { ...record, atUnixMs: 0n }));
	return Buffer.compare(content(before), content(after)) !== 0;
}
