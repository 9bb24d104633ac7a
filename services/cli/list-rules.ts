import { ListRulesRequestSchema, ListRulesResponseSchema, type RuleStatus } from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import type { Cluster } from "./cluster.ts";

/** Every rule of the cluster in order of names, through all pages. */
export async function listRules(
	cluster: Cluster,
	onWarning: (warning: string) => void = () => {},
): Promise<RuleStatus[]> {
	const rules: RuleStatus[] = [];
	let pageToken = "";
	do {
		const page = await cluster.request(requests.ruleList, ListRulesRequestSchema, ListRulesResponseSchema, {
			pageToken,
		});
		rules.push(...page.rules);
		for (const warning of page.warnings) onWarning(warning);
		pageToken = page.nextPageToken;
	} while (pageToken !== "");
	return rules;
}
