import { create } from "@bufbuild/protobuf";
import { toJsonText } from "@sluice/lib/json";
import { isUnheard } from "@sluice/lib/rule-status";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { ListRulesResponseSchema, type RuleStatus } from "@sluice/proto/gen/rule";
import type { RuleStats } from "@sluice/proto/gen/stats";
import { requests } from "@sluice/proto/subjects";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { keptOutHere } from "../credentials/kept-out.ts";
import { fetchStats } from "../fetch-stats.ts";
import { formatRuleList } from "../format/rules.ts";
import { formatKeptOut } from "../format/silent-hosts.ts";
import { listRules } from "../list-rules.ts";

/** Rates are an addition to the list: without an aggregator it does not wait for them. */
const STATS_TIMEOUT_MS = 500;

export async function ruleList({ flags, terminal }: Context): Promise<void> {
	const warnings: string[] = [];
	const onWarning = (warning: string) => void warnings.push(warning);
	await withCluster({ flags, terminal }, async (cluster) => {
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
		await terminal.write(formatRuleList(rules, stats, terminal.colors, terminal.columns));
		for (const line of await keptOutOf(rules, cluster, flags.dataDir)) terminal.note(`sluice: ${line}`);
	});
}

/** A line for each host that these rules wait for in vain, since the cluster does not let it in. */
async function keptOutOf(rules: readonly RuleStatus[], cluster: Cluster, dataDir: string): Promise<string[]> {
	const states = rules.flatMap(({ hosts }) => hosts);
	const unheard = new Set(states.filter(({ reason }) => isUnheard(reason)).map(({ host }) => host));
	const whyKeptOut = unheard.size === 0 ? undefined : await keptOutHere(dataDir);
	if (whyKeptOut === undefined) return [];
	const list = await cluster.request(requests.hostList, ListHostsRequestSchema, ListHostsResponseSchema, {});
	const listed = new Map(list.hosts.map((host) => [host.host, host]));
	return [...unheard].sort().flatMap((host) => {
		const seen = listed.get(host);
		const keptOut = whyKeptOut(host, seen?.lastSeenSeconds);
		return keptOut === undefined ? [] : [formatKeptOut(host, keptOut, seen)];
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
