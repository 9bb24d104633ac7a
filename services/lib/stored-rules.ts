import type { NatsConnection } from "@nats-io/transport-node";
import { type StoredRule, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets } from "@sluice/proto/subjects";
import { type BucketSnapshot, type FollowOptions, followBucket } from "./kv-snapshot.ts";

/** Follows the desired rules; one that was written anew behind what is swept (ADR 0133) keeps its revision. */
export function followRules(
	nc: NatsConnection,
	options: Pick<FollowOptions, "onTrouble" | "edits"> = {},
): Promise<BucketSnapshot<StoredRule>> {
	return followBucket(nc, buckets.rules, StoredRuleSchema, { ...options, revision: takeRevision });
}

/** Whoever compares rules, or holds them, has them as they were put. */
function takeRevision(stored: StoredRule): bigint {
	const { revision } = stored;
	stored.revision = 0n;
	return revision;
}
