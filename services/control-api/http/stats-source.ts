import { create } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import {
	GetStatsRequestSchema,
	type GetStatsResponse,
	GetStatsResponseSchema,
	type RuleStats,
} from "@sluice/proto/gen/stats";
import { requests } from "@sluice/proto/subjects";

const TIMEOUT_MS = 5_000;

export interface StatsPage {
	readonly names?: string[];
	readonly perWorker?: boolean;
	readonly pageSize?: number;
	readonly pageToken?: string;
}

/** Asks a stats-aggregator. */
export class StatsSource {
	readonly #nc: NatsConnection;
	#whole: Promise<GetStatsResponse> | undefined;

	constructor(nc: NatsConnection) {
		this.#nc = nc;
	}

	page(request: StatsPage): Promise<GetStatsResponse> {
		return call(
			this.#nc,
			requests.statsGet,
			GetStatsRequestSchema,
			GetStatsResponseSchema,
			request,
			TIMEOUT_MS,
		);
	}

	/** All pages in one; whoever asks while that is under way gets the same. */
	whole(): Promise<GetStatsResponse> {
		this.#whole ??= this.allPages({}).finally(() => {
			this.#whole = undefined;
		});
		return this.#whole;
	}

	async allPages(request: Pick<StatsPage, "names" | "perWorker">): Promise<GetStatsResponse> {
		const first = await this.page(request);
		const rules: RuleStats[] = [...first.rules];
		let pageToken = first.nextPageToken;
		while (pageToken !== "") {
			const next = await this.page({ ...request, pageToken });
			rules.push(...next.rules);
			pageToken = next.nextPageToken;
		}
		return create(GetStatsResponseSchema, { ...first, rules, nextPageToken: "" });
	}
}
