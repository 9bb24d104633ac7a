import type { SnapshotEntry } from "@sluice/lib/kv-snapshot";
import type { HostRecord } from "@sluice/proto/gen/host";
import type { Chunk } from "./sample.ts";

type Records = ReadonlyMap<string, Pick<SnapshotEntry<HostRecord>, "value">>;

/**
 * Why counters cannot be of a host as its supervisor says it is; undefined: they can, or it says nothing. Any worker may
 * publish under any worker's number of its host, and what it says must neither outlive its host's next start nor
 * take more memory than its host's workers do. Who is early speaks again within a second. Pure.
 */
export function strangeWorker(records: Records, subject: string): string | undefined {
	const [, , , host = "", worker = ""] = subject.split(".");
	const record = records.get(host)?.value;
	if (record === undefined || record.workers.some((each) => String(each.worker) === worker)) return undefined;
	return `host ${host} has no worker ${worker}`;
}

/** The same, of what was decoded. */
export function strangeIncarnation(records: Records, { host, incarnation }: Chunk): string | undefined {
	const record = records.get(host)?.value;
	if (record === undefined || incarnation <= record.incarnation) return undefined;
	return `of an up that host ${host} has not begun`;
}
