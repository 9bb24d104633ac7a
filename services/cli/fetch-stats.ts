import { create } from "@bufbuild/protobuf";
import {
	GetStatsRequestSchema,
	type GetStatsResponse,
	GetStatsResponseSchema,
} from "@sluice/proto/gen/stats";
import { requests } from "@sluice/proto/subjects";
import type { Cluster } from "./cluster.ts";

/** Statistics of these rules, or of all when `names` is empty, through all pages, as one message. */
export async function fetchStats(
	cluster: Cluster,
	names: string[],
	timeoutMs?: number,
): Promise<GetStatsResponse> {
	const merged = create(GetStatsResponseSchema);
	let pageToken = "";
	do {
		const page = await cluster.request(
			requests.statsGet,
			GetStatsRequestSchema,
			GetStatsResponseSchema,
			{ names, pageToken },
			timeoutMs,
		);
		merged.rules.push(...page.rules);
		merged.interfaces.push(...page.interfaces);
		merged.workers.push(...page.workers);
		pageToken = page.nextPageToken;
	} while (pageToken !== "");
	return merged;
}
