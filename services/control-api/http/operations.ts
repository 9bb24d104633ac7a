import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { errorText, SluiceError } from "@sluice/lib/errors";
import {
	ForgetHostRequestSchema,
	ForgetHostResponseSchema,
	ListHostsResponseSchema,
} from "@sluice/proto/gen/host";
import {
	ApplyRequestSchema,
	ApplyResponseSchema,
	GetRuleResponseSchema,
	ListRulesRequestSchema,
	ListRulesResponseSchema,
	PutRuleRequestSchema,
	PutRuleResponseSchema,
	RemoveRuleRequestSchema,
	RemoveRuleResponseSchema,
	type Rule,
	RuleSchema,
} from "@sluice/proto/gen/rule";
import { GetStatsResponseSchema } from "@sluice/proto/gen/stats";
import {
	ListWorkersResponseSchema,
	RestartWorkerRequestSchema,
	RestartWorkerResponseSchema,
} from "@sluice/proto/gen/worker";
import type { RunningControlApi } from "../control-api.ts";
import type { EventFeed } from "./events.ts";
import { METRICS_TYPE, metricsText } from "./metrics.ts";
import { expectedRevision, isNotModified } from "./precondition.ts";
import { entityTag, respondMessage, respondText } from "./respond.ts";
import { type Operation, operation } from "./route.ts";
import * as schemas from "./schemas.ts";
import type { StatsSource } from "./stats-source.ts";

export interface OperationParts {
	readonly api: RunningControlApi;
	readonly stats: StatsSource;
	readonly events: EventFeed;
}

/** Everything that HTTP offers but its own description. */
export function operations(parts: OperationParts): Operation[] {
	return [
		...readRules(parts),
		...writeRules(parts),
		applyRules(parts),
		...observe(parts),
		...changeHosts(parts),
		...expose(parts),
		...probes(parts),
	];
}

const RULES = "/v1/rules";
const ONE_RULE = "/v1/rules/{name}";

function readRules({ api }: OperationParts): Operation[] {
	return [
		operation({
			method: "GET",
			path: RULES,
			summary: "List rules, in order of their names",
			query: schemas.pageQuery,
			answer: { description: "A page of rules", schema: schemas.listRulesResponse },
			handle: ({ query }) => {
				const { pageSize = 0, pageToken = "" } = query;
				const request = create(ListRulesRequestSchema, { pageSize, pageToken });
				return respondMessage(ListRulesResponseSchema, api.rules.list(request));
			},
		}),
		operation({
			method: "GET",
			path: ONE_RULE,
			summary: "Read one rule",
			query: schemas.noQuery,
			answer: { description: "The rule; its ETag is the revision", schema: schemas.getRuleResponse },
			handle: async ({ raw, parameters }) => {
				const rule = await api.rules.get(parameters["name"] ?? "");
				const etag = entityTag(rule.revision);
				if (isNotModified(raw, etag)) return new Response(null, { status: 304, headers: { etag } });
				return respondMessage(GetRuleResponseSchema, create(GetRuleResponseSchema, { rule }), { etag });
			},
		}),
	];
}

function writeRules({ api }: OperationParts): Operation[] {
	return [
		operation({
			method: "PUT",
			path: ONE_RULE,
			summary: "Add or replace one rule; If-Match: the revision to replace, If-None-Match: * only adds",
			query: schemas.noQuery,
			body: schemas.namelessRule,
			answer: { description: "The rule as stored; waits for no host", schema: schemas.putRuleResponse },
			handle: async ({ raw, parameters, body }) => {
				const name = parameters["name"] ?? "";
				if (body.name !== undefined && body.name !== name) {
					throw new SluiceError(
						"invalid",
						`name: ${JSON.stringify(body.name)} is not ${name}, as the path says: leave it out`,
					);
				}
				const expected = await expectedRevision(raw, async () => (await api.rules.get(name)).revision);
				const request = create(PutRuleRequestSchema, { rule: ruleOf({ ...body, name }), ...expected });
				const response = await api.rules.put(request);
				return respondMessage(PutRuleResponseSchema, response, {
					etag: entityTag(response.rule?.revision ?? 0n),
				});
			},
		}),
		operation({
			method: "DELETE",
			path: ONE_RULE,
			summary: "Remove one rule",
			query: schemas.noQuery,
			answer: { description: "Removed", schema: schemas.removeRuleResponse },
			handle: async ({ raw, parameters }) => {
				const name = parameters["name"] ?? "";
				const expected = await expectedRevision(raw, async () => (await api.rules.get(name)).revision);
				const response = await api.rules.remove(create(RemoveRuleRequestSchema, { name, ...expected }));
				return respondMessage(RemoveRuleResponseSchema, response);
			},
		}),
	];
}

function applyRules({ api }: OperationParts): Operation {
	return operation({
		method: "POST",
		path: "/v1/apply",
		summary: "Write all rules of a file, or none",
		query: schemas.applyQuery,
		body: schemas.applyRequest,
		answer: { description: "What changed", schema: schemas.applyResponse },
		handle: async ({ query, body }) => {
			const request = create(ApplyRequestSchema, {
				rules: body.rules.map(ruleOf),
				prune: query.prune ?? body.prune ?? false,
				dryRun: query.dryRun ?? body.dryRun ?? false,
			});
			return respondMessage(ApplyResponseSchema, await api.rules.apply(request));
		},
	});
}

function observe({ api, stats }: OperationParts): Operation[] {
	return [
		operation({
			method: "GET",
			path: "/v1/stats",
			summary: "Statistics of rules, interfaces and workers",
			query: schemas.statsQuery,
			answer: { description: "Statistics", schema: schemas.getStatsResponse },
			handle: async ({ query }) => {
				const names = query.names?.split(",").filter((name) => name !== "") ?? [];
				const paged = query.pageSize !== undefined || query.pageToken !== undefined;
				const perWorker = query.perWorker ?? false;
				const { pageSize = 0, pageToken = "" } = query;
				const response = paged
					? await stats.page({ names, perWorker, pageSize, pageToken })
					: await stats.allPages({ names, perWorker });
				return respondMessage(GetStatsResponseSchema, response);
			},
		}),
		operation({
			method: "GET",
			path: "/v1/hosts",
			summary: "Hosts of the cluster, also those that are gone",
			query: schemas.noQuery,
			answer: { description: "Hosts", schema: schemas.listHostsResponse },
			handle: () => respondMessage(ListHostsResponseSchema, api.hosts.listHosts()),
		}),
		operation({
			method: "GET",
			path: "/v1/workers",
			summary: "Workers of the hosts that are there",
			query: schemas.noQuery,
			answer: { description: "Workers", schema: schemas.listWorkersResponse },
			handle: () => respondMessage(ListWorkersResponseSchema, api.hosts.listWorkers()),
		}),
	];
}

function changeHosts({ api }: OperationParts): Operation[] {
	return [
		operation({
			method: "DELETE",
			path: "/v1/hosts/{host}",
			summary: "Leave out a host that is gone or was stopped; refused while it is there",
			query: schemas.noQuery,
			answer: { description: "Forgotten", schema: schemas.forgetHostResponse },
			handle: async ({ parameters }) => {
				const { host = "" } = parameters;
				const response = await api.forgetting.handle(create(ForgetHostRequestSchema, { host }));
				return respondMessage(ForgetHostResponseSchema, response);
			},
		}),
		operation({
			method: "POST",
			path: "/v1/hosts/{host}/workers/{worker}/restart",
			summary: "Replace one worker without loss; answers when its successor runs",
			query: schemas.noQuery,
			answer: { description: "The successor", schema: schemas.restartWorkerResponse },
			handle: async ({ parameters }) => {
				const { host = "", worker = "" } = parameters;
				if (!/^[0-9]{1,4}$/.test(worker)) {
					throw new SluiceError("invalid", `worker: ${JSON.stringify(worker)} is not the number of a worker`);
				}
				const request = create(RestartWorkerRequestSchema, { host, worker: Number(worker) });
				return respondMessage(RestartWorkerResponseSchema, await api.workerRestart.handle(request));
			},
		}),
	];
}

function expose({ api, stats, events }: OperationParts): Operation[] {
	return [
		operation({
			method: "GET",
			path: "/v1/events",
			summary: "Changes of rules and hosts as server-sent events",
			query: schemas.noQuery,
			answer: { description: "Events ready, rule and host, each with JSON data", type: "text/event-stream" },
			handle: ({ raw }) =>
				new Response(events.open(raw.signal), {
					headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
				}),
		}),
		operation({
			method: "GET",
			path: "/metrics",
			summary: "Everything countable for Prometheus",
			query: schemas.noQuery,
			answer: { description: "Text exposition format", type: "text/plain" },
			handle: async () => {
				const text = await metricsText({
					// Hosts and workers are worth a scrape even when no aggregator is there.
					stats: await stats.whole().catch(() => undefined),
					hosts: api.hosts.listHosts().hosts,
					workers: api.hosts.listWorkers().workers,
					ruleCount: api.book.entries.size,
				});
				return respondText(200, METRICS_TYPE, text);
			},
		}),
	];
}

function probes({ api }: OperationParts): Operation[] {
	return [
		operation({
			method: "GET",
			path: "/healthz",
			summary: "The process lives",
			query: schemas.noQuery,
			answer: { description: "ok", type: "text/plain" },
			open: true,
			handle: () => respondText(200, "text/plain", "ok\n"),
		}),
		operation({
			method: "GET",
			path: "/readyz",
			summary: "Requests are served: NATS is there and what is known is current",
			query: schemas.noQuery,
			answer: { description: "ok", type: "text/plain" },
			open: true,
			handle: () =>
				api.current
					? respondText(200, "text/plain", "ok\n")
					: respondText(503, "text/plain", "NATS is away\n"),
		}),
	];
}

function ruleOf(body: object): Rule {
	try {
		return fromJson(RuleSchema, body as JsonValue);
	} catch (thrown) {
		throw new SluiceError("invalid", errorText(thrown), { cause: thrown });
	}
}
