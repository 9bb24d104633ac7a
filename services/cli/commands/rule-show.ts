import { toJsonText } from "@sluice/lib/json";
import { GetRuleRequestSchema, GetRuleResponseSchema } from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { formatRule } from "../format/rules.ts";

export async function ruleShow({ flags, terminal }: Context, name: string): Promise<void> {
	await withCluster({ flags, terminal }, async (cluster) => {
		const answer = await cluster.request(requests.ruleGet, GetRuleRequestSchema, GetRuleResponseSchema, {
			name,
		});
		if (flags.json) await terminal.write(`${toJsonText(GetRuleResponseSchema, answer)}\n`);
		else if (answer.rule) await terminal.write(formatRule(answer.rule, terminal.colors));
	});
}
