import { create, toBinary } from "@bufbuild/protobuf";
import { type JetStreamClient, jetstream } from "@nats-io/jetstream";
import { followRules } from "@sluice/lib/stored-rules";
import { PutRuleRequestSchema, RuleSchema, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import type { RunningControlApi } from "../control-api.ts";
import { RuleLog } from "../nats/rule-log.ts";
import { rulesSequence } from "../nats/storage.ts";
import type { Edit } from "../rules/plan.ts";
import type { RuleInit, TestCluster } from "./cluster.ts";

/** As somebody finds them who reads the bucket anew. */
export async function storedNames(cluster: TestCluster): Promise<string[]> {
	const snapshot = await followRules(cluster.nc);
	snapshot.stop();
	return [...snapshot.entries.keys()].sort();
}

export const ruleLog = (cluster: TestCluster, js: Pick<JetStreamClient, "publish">) =>
	new RuleLog(js, { onLost: () => () => {} }, () => rulesSequence(cluster.nc));

export const putAt = (api: RunningControlApi, rule: RuleInit) =>
	api.rules.put(create(PutRuleRequestSchema, { rule })).then(
		() => "accepted",
		(thrown: Error) => thrown.message,
	);

export const edit = (rules: readonly RuleInit[], removals: readonly string[] = []): Edit => ({
	puts: rules.map((rule) => create(RuleSchema, rule)),
	removals,
	newUid: (name) => `uid-${name}`,
});

/** By who asks no control-api. */
export const foreignWrite = (cluster: TestCluster, rule: RuleInit) => {
	const value = toBinary(StoredRuleSchema, create(StoredRuleSchema, { rule, uid: "foreign" }));
	return jetstream(cluster.nc).publish(kvSubject(buckets.rules, rule.name ?? ""), value);
};
