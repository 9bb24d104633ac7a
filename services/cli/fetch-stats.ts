import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import {
	GetStatsRequestSchema,
	type GetStatsResponse,
	GetStatsResponseSchema,
} from "@sluice/proto/gen/stats";
import { requests } from "@sluice/proto/subjects";
import type { Cluster } from "./cluster.ts";

const WARM_UP_PAUSE_MS = 200;

/**
 * The same, but waits for an aggregator that was just started: until every worker
 * has published, it answers that it is collecting. One that is absent is an error at once.
 */
export async function fetchCollectedStats(
	cluster: Cluster,
	wanted: WantedStats,
	timeoutMs: number,
): Promise<GetStatsResponse> {
	const deadline = performance.now() + timeoutMs;
	while (true) {
		try {
			return await fetchStats(cluster, wanted);
		} catch (error) {
			if (!isAnswer(error) || performance.now() + WARM_UP_PAUSE_MS > deadline) throw error;
			await Bun.sleep(WARM_UP_PAUSE_MS);
		}
	}
}

/** `unavailable` said by the service itself, not found out on the way to it. */
function isAnswer(error: unknown): boolean {
	return error instanceof SluiceError && error.code === "unavailable" && error.cause === undefined;
}

export interface WantedStats {
	/** Empty: all rules. */
	readonly names: string[];
	readonly perWorker?: boolean;
}

/** Statistics through all pages, as one message. */
export async function fetchStats(
	cluster: Cluster,
	{ names, perWorker = false }: WantedStats,
	timeoutMs?: number,
): Promise<GetStatsResponse> {
	const merged = create(GetStatsResponseSchema);
	let pageToken = "";
	do {
		const page = await cluster.request(
			requests.statsGet,
			GetStatsRequestSchema,
			GetStatsResponseSchema,
			{ names, perWorker, pageToken },
			timeoutMs,
		);
		merged.rules.push(...page.rules);
		merged.interfaces.push(...page.interfaces);
		merged.workers.push(...page.workers);
		pageToken = page.nextPageToken;
	} while (pageToken !== "");
	return merged;
}
