import type { NatsConnection } from "@nats-io/transport-node";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { buckets } from "@sluice/proto/subjects";
import { type BucketSnapshot, type FollowOptions, followBucket } from "./kv-snapshot.ts";

/** Follows what the hosts say of themselves; whoever speaks of another host is left out. */
export function followHostRecords(
	nc: NatsConnection,
	options: Pick<FollowOptions, "onTrouble">,
): Promise<BucketSnapshot<HostRecord>> {
	const belongs = (key: string, { host }: HostRecord) => host === key;
	return followBucket(nc, buckets.hosts, HostRecordSchema, { ...options, belongs });
}
