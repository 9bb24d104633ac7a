import { SluiceError } from "@sluice/lib/errors";
import { PutRuleRequestSchema, PutRuleResponseSchema, type Rule } from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { nameFlag } from "../parse/name-flag.ts";
import { parseRule, type RuleOptions } from "../parse/rule.ts";
import { fetchRule, finishWrite } from "../write-rule.ts";

/** A new rule; one of that name must not exist. */
export async function ruleAdd(context: Context, name: string, options: RuleOptions): Promise<void> {
	const rule = parseRule(name, options);
	await withCluster(context, async (cluster) => {
		const written = await putNew(cluster, rule).catch((error) => {
			throw nameFlag(error, name, options);
		});
		await finishWrite(context, cluster, written);
	});
}

async function putNew(cluster: Cluster, rule: Rule) {
	try {
		return await cluster.request(requests.rulePut, PutRuleRequestSchema, PutRuleResponseSchema, {
			rule,
			expectedRevision: 0n,
		});
	} catch (error) {
		if (!(error instanceof SluiceError) || error.code !== "conflict") throw error;
		// A conflict may also be with another rule's input: then the API's message names it.
		if ((await fetchRule(cluster, rule.name)) === undefined) throw error;
		throw new SluiceError(
			"conflict",
			`rule ${rule.name} exists: replace it with sluice rule set ${rule.name}`,
			{
				cause: error,
			},
		);
	}
}
