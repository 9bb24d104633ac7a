import { create } from "@bufbuild/protobuf";
import { toJsonText } from "@sluice/lib/json";
import { ListRulesResponseSchema } from "@sluice/proto/gen/rule";
import type { RuleStats } from "@sluice/proto/gen/stats";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { fetchStats } from "../fetch-stats.ts";
import { formatRuleList } from "../format/rules.ts";
import { listRules } from "../list-rules.ts";

/** Rates are an addition to the list: without an aggregator it does not wait for them. */
const STATS_TIMEOUT_MS = 500;

export async function ruleList({ flags, terminal }: Context): Promise<void> {
	const warnings: string[] = [];
	const onWarning = (warning: string) => void warnings.push(warning);
	await withCluster(flags, async (cluster) => {
		if (flags.json) {
			const merged = create(ListRulesResponseSchema, {
				rules: await listRules(cluster, onWarning),
				warnings,
			});
			await terminal.write(`${toJsonText(ListRulesResponseSchema, merged)}\n`);
			return;
		}
		const [rules, stats] = await Promise.all([listRules(cluster, onWarning), fetchStatsByName(cluster)]);
		for (const warning of warnings) terminal.note(`sluice: warning: ${warning}`);
		await terminal.write(formatRuleList(rules, stats, terminal.colors));
	});
}

async function fetchStatsByName(cluster: Cluster): Promise<ReadonlyMap<string, RuleStats> | undefined> {
	try {
		const stats = await fetchStats(cluster, { names: [] }, STATS_TIMEOUT_MS);
		return new Map(stats.rules.map((rule) => [rule.name, rule]));
	} catch {
		return undefined;
	}
}
