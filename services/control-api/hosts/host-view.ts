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

/**
 * The hosts as their records arrive. How long ago a host was seen is measured
 * from the arrival by our own clock: the hosts' clocks may be anywhere.
 */
export class HostView {
	readonly snapshot: BucketSnapshot<HostRecord>;
	/** Monotonic milliseconds of the last arrival. */
	readonly #arrivedMs = new Map<string, number>();
	readonly #now: () => number;

	constructor(snapshot: BucketSnapshot<HostRecord>, now: () => number = () => performance.now()) {
		this.snapshot = snapshot;
		this.#now = now;
		for (const [host, entry] of snapshot.entries) {
			// Written before we came: the server's clock tells the age.
			const age = Math.max(0, Date.now() - entry.writtenUnixMs);
			this.#arrivedMs.set(host, this.#now() - age);
		}
		snapshot.onChange((change) => {
			if (change.entry === undefined) this.#arrivedMs.delete(change.key);
			else this.#arrivedMs.set(change.key, this.#now());
		});
	}

	observed(): ReadonlyMap<string, ObservedHost> {
		const observed = new Map<string, ObservedHost>();
		for (const [host, entry] of this.snapshot.entries) {
			observed.set(host, { record: entry.value, lastSeenSeconds: this.#lastSeenSeconds(host) });
		}
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
		const entry = this.snapshot.entries.get(host);
		if (entry === undefined)
			throw new SluiceError("not_found", `there is no host ${JSON.stringify(host)}: see sluice host list`);
		if (entry.value.stopped)
			throw new SluiceError("timeout", `host ${host} was stopped: start sluice up there`);
		const silentSeconds = this.#lastSeenSeconds(host);
		if (silentSeconds > HOST_GONE_SECONDS) {
			const text = `host ${host} was not seen for ${Math.floor(silentSeconds)} s: look at sluice up there`;
			throw new SluiceError("timeout", text);
		}
		return entry.value;
	}

	/** What is known of a host that is gone; undefined: nothing. @throws SluiceError when it is there. */
	gone(host: string): SnapshotEntry<HostRecord> | undefined {
		this.#requireCurrent();
		const entry = this.snapshot.entries.get(host);
		const silentSeconds = this.#lastSeenSeconds(host);
		if (entry === undefined || entry.value.stopped || silentSeconds > HOST_GONE_SECONDS) return entry;
		const text = `host ${host} is there, seen ${silentSeconds.toFixed(1)} s ago: stop sluice up there first`;
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

	#lastSeenSeconds(host: string): number {
		const arrived = this.#arrivedMs.get(host) ?? Number.NEGATIVE_INFINITY;
		return Math.round(Math.max(0, this.#now() - arrived)) / 1_000;
	}
}

/** True when a record says something new and is not only a heartbeat. */
export function recordDiffers(before: HostRecord | undefined, after: HostRecord): boolean {
	if (before === undefined) return true;
	const content = (record: HostRecord) =>
		toBinary(HostRecordSchema, create(HostRecordSchema, { ...record, atUnixMs: 0n }));
	return Buffer.compare(content(before), content(after)) !== 0;
}
