import { SluiceError } from "@sluice/lib/errors";
import {
	PutRuleRequestSchema,
	type PutRuleResponse,
	PutRuleResponseSchema,
	type Rule,
} from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { nameFlag } from "../parse/name-flag.ts";
import { parseRule, type RuleOptions } from "../parse/rule.ts";
import { fetchRule, finishWrite } from "../write-rule.ts";

const ATTEMPTS = 5;

/** Replaces a rule in place: its counters go on. It must exist. */
export async function ruleSet(context: Context, name: string, options: RuleOptions): Promise<void> {
	const rule = parseRule(name, options);
	await withCluster(context, async (cluster) => {
		const written = await replace(cluster, rule).catch((error) => {
			throw nameFlag(error, name, options);
		});
		await finishWrite(context, cluster, written);
	});
}

/** Compare-and-set, so that a rule removed in between is not brought back. */
async function replace(cluster: Cluster, rule: Rule): Promise<PutRuleResponse> {
	for (let attempt = 1; ; attempt += 1) {
		const current = await fetchRule(cluster, rule.name);
		if (current === undefined) {
			throw new SluiceError("not_found", `no rule ${rule.name}: add it with sluice rule add ${rule.name}`);
		}
		try {
			return await cluster.request(requests.rulePut, PutRuleRequestSchema, PutRuleResponseSchema, {
				rule,
				expectedRevision: current.revision,
			});
		} catch (error) {
			const overtaken =
				error instanceof SluiceError &&
				error.code === "conflict" &&
				error.revision !== undefined &&
				error.revision !== current.revision;
			if (!overtaken || attempt === ATTEMPTS) throw error;
		}
	}
}
