import type { SnapshotEntry } from "@sluice/lib/kv-snapshot";
import type { HostRecord } from "@sluice/proto/gen/host";
import { Worker_State } from "@sluice/proto/gen/worker";
import type { Fold } from "./fold.ts";

/** A supervisor writes its record each 2 s; one that came earlier to the server speaks of a host that is gone. */
const LIVE_RECORD_MS = 10_000;

/** Longer than two publications of every worker: what was not heard by then is not there. */
export const WARM_UP_MS = 2500;

/**
 * The host whose `up` the aggregator belongs to: a record of an earlier one there is known to be over. In a container
 * it belongs to none: the relay beside it starts when it likes.
 */
interface OwnHost {
	readonly hostId: string;
	readonly incarnation: bigint;
}

/**
 * nats-server has just started anew, and has forgotten hosts' records with their counters: who is unheard
 * stands nowhere. Of a cluster that is itself new nobody was told anything yet. All by what streams say of when they
 * were created.
 */
export function recordsBeginAnew(rulesCreated: string, hostsCreated: string, nowMs: number): boolean {
	const hostsMs = Date.parse(hostsCreated);
	return hostsMs - Date.parse(rulesCreated) > WARM_UP_MS && nowMs - hostsMs < WARM_UP_MS;
}

/**
 * Workers that should be publishing and have not been heard, whatever their hosts' clocks say: as long as there are any,
 * sums would be too small, and figures would step back for whoever asked another
 * aggregator before.
 */
export function unheardWorkers(
	fold: Fold,
	records: Iterable<Pick<SnapshotEntry<HostRecord>, "value" | "writtenUnixMs">>,
	own: OwnHost | undefined,
	nowMs: number,
): string[] {
	const unheard: string[] = [];
	for (const { value: record, writtenUnixMs } of records) {
		const over = record.host === own?.hostId && record.incarnation < own.incarnation;
		if (over || writtenUnixMs < nowMs - LIVE_RECORD_MS) {
			continue;
		}
		const host = fold.hosts.get(record.host);
		const current = host !== undefined && host.incarnation >= record.incarnation;
		for (const { worker, state } of record.workers) {
			const publishes = state === Worker_State.RUNNING || state === Worker_State.DRAINING;
			if (publishes && !(current && host.workers.get(worker)?.latest !== undefined)) {
				unheard.push(`${record.host}/${worker}`);
			}
		}
	}
	return unheard;
}
