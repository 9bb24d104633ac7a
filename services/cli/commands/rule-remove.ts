import { toJsonText } from "@sluice/lib/json";
import { RemoveRuleRequestSchema, RemoveRuleResponseSchema } from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";

export async function ruleRemove({ flags, terminal }: Context, name: string): Promise<void> {
	await withCluster({ flags, terminal }, async (cluster) => {
		const answer = await cluster.request(
			requests.ruleRemove,
			RemoveRuleRequestSchema,
			RemoveRuleResponseSchema,
			{ name },
		);
		if (flags.json) await terminal.write(`${toJsonText(RemoveRuleResponseSchema, answer)}\n`);
		else await terminal.write(`rule ${name}: removed\n`);
	});
}
