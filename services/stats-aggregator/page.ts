import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import {
	type GetStatsRequest,
	type GetStatsResponse,
	GetStatsResponseSchema,
	type RuleStats,
} from "@sluice/proto/gen/stats";
import type { CataloguedRule } from "./catalogue.ts";
import type { Fold } from "./fold.ts";
import { interfaceStats, ruleStats, workerStats } from "./query.ts";

const MAX_PAGE_RULES = 500;
/** Outputs on one page, counted once per host and worker: about 250 bytes of JSON each, max_payload is 4 MB. */
const MAX_PAGE_OUTPUTS = 8000;
const MAX_NAMES = 10_000;

/** Answers one stats.get; `rules` are all of the cluster, in order of their names. */
export function getStats(
	fold: Fold,
	rules: readonly CataloguedRule[],
	request: GetStatsRequest,
	nowMs: number,
): GetStatsResponse {
	const wanted = selectRules(rules, request.names);
	const pageSize =
		request.pageSize === 0 || request.pageSize > MAX_PAGE_RULES ? MAX_PAGE_RULES : request.pageSize;
	const first = request.pageToken === "";
	// The token is the last name of the page before: rules may come and go between two pages.
	const rest = first ? wanted : wanted.filter(({ name }) => name > request.pageToken);
	const page: RuleStats[] = [];
	let outputs = 0;
	for (const rule of rest) {
		if (page.length === pageSize || outputs >= MAX_PAGE_OUTPUTS) {
			break;
		}
		const stats = ruleStats(fold, rule, nowMs, request.perWorker);
		const parts = stats.hosts.reduce(
			(sum, { workers }) => sum + 1 + workers.length,
			stats.former === undefined ? 1 : 2,
		);
		outputs += rule.outputs.length * parts;
		page.push(stats);
	}
	return create(GetStatsResponseSchema, {
		rules: page,
		interfaces: first ? interfaceStats(fold, nowMs) : [],
		workers: first ? workerStats(fold, nowMs) : [],
		nextPageToken: page.length < rest.length ? (page.at(-1)?.name ?? "") : "",
	});
}

function selectRules(rules: readonly CataloguedRule[], names: readonly string[]): readonly CataloguedRule[] {
	if (names.length === 0) {
		return rules;
	}
	if (names.length > MAX_NAMES) {
		throw new SluiceError("invalid", `names: ${names.length} given, ${MAX_NAMES} are taken`);
	}
	const wanted = new Set(names);
	const found = rules.filter(({ name }) => wanted.has(name));
	if (found.length < wanted.size) {
		const known = new Set(found.map(({ name }) => name));
		const unknown = names.find((name) => !known.has(name)) ?? "";
		throw new SluiceError(
			"not_found",
			`rule ${unknown} does not exist: sluice rule list shows those that do`,
		);
	}
	return found;
}
