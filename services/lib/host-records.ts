import type { NatsConnection } from "@nats-io/transport-node";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { buckets } from "@sluice/proto/subjects";
import { type BucketSnapshot, type FollowOptions, followBucket } from "./kv-snapshot.ts";

/** A record speaks of each rule that does not flow; what else it says is far less than these. */
const limits = { rules: 20_000, interfaces: 4_096, workers: 1_024, bytesBesidesRules: 512 * 1024 } as const;
/** Lengths and state of a rule in a record, at most. */
const RULE_OVERHEAD_BYTES = 12;

/** Follows what the hosts say of themselves; whoever speaks of another host, or without measure, is left out. */
export function followHostRecords(
	nc: NatsConnection,
	options: Pick<FollowOptions, "onTrouble">,
): Promise<BucketSnapshot<HostRecord>> {
	return followBucket(nc, buckets.hosts, HostRecordSchema, { ...options, fault: recordFault });
}

/** All hosts are told in one answer. */
export function recordFault(key: string, record: HostRecord, bytes: number): string | undefined {
	const { host, exceptions, interfaces, workers } = record;
	if (host !== key) return "it speaks of another";
	if (exceptions.length > limits.rules) return `more than ${limits.rules} rules`;
	if (interfaces.length > limits.interfaces) return `more than ${limits.interfaces} interfaces`;
	if (workers.length > limits.workers) return `more than ${limits.workers} workers`;
	let besidesRules = bytes;
	for (const { name, reason } of exceptions)
		besidesRules -= Buffer.byteLength(name) + Buffer.byteLength(reason) + RULE_OVERHEAD_BYTES;
	if (besidesRules > limits.bytesBesidesRules)
		return `more than ${limits.bytesBesidesRules} bytes besides its rules`;
	return undefined;
}
