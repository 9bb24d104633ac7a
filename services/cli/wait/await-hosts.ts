import { SluiceError } from "@sluice/lib/errors";
import { GetRuleRequestSchema, GetRuleResponseSchema, type RuleStatus } from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import type { Cluster } from "../cluster.ts";
import { CommandFailure, exitCodes } from "../failure.ts";
import { listRules } from "../list-rules.ts";
import { type Awaited, type IsOpen, isSettled, judge } from "./settle.ts";

const POLL_INTERVAL_MS = 25;
/** Above this many rules, whole lists are cheaper than a request for each. */
const SINGLE_REQUESTS_LIMIT = 16;
const LIST_EVERY_MS = 1_000;

export interface AwaitOptions {
	timeoutMs: number;
	/** Whether a host is waited for. Default: until it has said what it makes of the rule, also one that is gone. */
	isOpen?: IsOpen;
	/** Told after each look at the cluster how many rules are settled. */
	onProgress?: (settled: number) => void;
}

/**
 * Asks until every host concerned has answered each write, or the time is over.
 * Returns the statuses as last seen; a rule that somebody removed meanwhile has none.
 */
export async function awaitHosts(
	cluster: Cluster,
	awaited: Awaited[],
	options: AwaitOptions,
): Promise<Map<string, RuleStatus>> {
	const deadline = performance.now() + options.timeoutMs;
	const { isOpen } = options;
	const seen = new Map<string, RuleStatus>();
	let open = awaited;
	while (open.length > 0) {
		await lastToSettle(cluster, open, deadline, isOpen);
		const started = performance.now();
		const current = await fetchStatuses(cluster, open, deadline);
		open = open.filter((rule) => {
			const status = current.get(rule.name);
			if (!status) {
				seen.delete(rule.name);
				return false;
			}
			seen.set(rule.name, status);
			return !isSettled(rule, status, isOpen);
		});
		options.onProgress?.(awaited.length - open.length);
		// A long list costs the cluster something: ask for it half of the time at most.
		const pauseMs = Math.max(POLL_INTERVAL_MS, performance.now() - started);
		if (performance.now() + pauseMs >= deadline) break;
		if (open.length > 0) await Bun.sleep(pauseMs);
	}
	return seen;
}

/**
 * Hosts apply writes in their order: of many rules the one written last is asked for, and all of them
 * once that is settled, or now and then, for the sake of those that are.
 */
async function lastToSettle(
	cluster: Cluster,
	open: readonly Awaited[],
	deadline: number,
	isOpen?: IsOpen,
): Promise<void> {
	if (open.length <= SINGLE_REQUESTS_LIMIT) return;
	const last = open.reduce((latest, rule) => (rule.revision > latest.revision ? rule : latest));
	const until = Math.min(deadline, performance.now() + LIST_EVERY_MS) - POLL_INTERVAL_MS;
	while (performance.now() < until) {
		const status = await fetchStatus(cluster, last.name, deadline);
		if (status === undefined || isSettled(last, status, isOpen)) return;
		await Bun.sleep(POLL_INTERVAL_MS);
	}
}

async function fetchStatuses(
	cluster: Cluster,
	open: Awaited[],
	deadline: number,
): Promise<ReadonlyMap<string, RuleStatus>> {
	const found =
		open.length > SINGLE_REQUESTS_LIMIT
			? await listRules(cluster)
			: await Promise.all(open.map((rule) => fetchStatus(cluster, rule.name, deadline)));
	return new Map(found.flatMap((status) => (status ? [[status.name, status]] : [])));
}

async function fetchStatus(
	cluster: Cluster,
	name: string,
	deadline: number,
): Promise<RuleStatus | undefined> {
	const timeoutMs = Math.max(100, Math.ceil(deadline - performance.now()));
	try {
		const answer = await cluster.request(
			requests.ruleGet,
			GetRuleRequestSchema,
			GetRuleResponseSchema,
			{ name },
			timeoutMs,
		);
		return answer.rule;
	} catch (error) {
		if (error instanceof SluiceError && error.code === "not_found") return undefined;
		throw error;
	}
}

/** @throws CommandFailure when a host failed or did not answer; it names the first rule and counts the others. */
export function requireAnswers(
	awaited: Awaited[],
	statuses: ReadonlyMap<string, RuleStatus>,
	timeoutMs: number,
): void {
	const complaints = awaited.flatMap((rule) => {
		const status = statuses.get(rule.name);
		const text = status && complaintAbout(rule, status, timeoutMs);
		return text === undefined ? [] : [{ name: rule.name, text }];
	});
	const [first, ...others] = complaints;
	if (!first) return;
	const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
	throw new CommandFailure(
		exitCodes.failed,
		`rule ${first.name}: ${first.text}${more}: the rule stays, see sluice rule show ${first.name}`,
	);
}

function complaintAbout(rule: Awaited, status: RuleStatus, timeoutMs: number): string | undefined {
	const { failed, unanswered } = judge(rule, status);
	const [refusal] = failed;
	if (refusal) return `FAILED on ${refusal.host}: ${refusal.reason}`;
	if (isSettled(rule, status)) return undefined;
	const hosts = unanswered.map((host) => host.host).join(", ") || "the cluster";
	return `no answer from ${hosts} in ${timeoutMs / 1_000} s`;
}
