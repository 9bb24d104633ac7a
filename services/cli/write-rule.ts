import { SluiceError } from "@sluice/lib/errors";
import { toJsonText } from "@sluice/lib/json";
import {
	GetRuleRequestSchema,
	GetRuleResponseSchema,
	type PutRuleResponse,
	PutRuleResponseSchema,
	type RuleStatus,
} from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import type { Cluster } from "./cluster.ts";
import type { Context } from "./context.ts";
import { formatStates, formatWaiting } from "./format/states.ts";
import { awaitHosts, requireAnswers } from "./wait/await-hosts.ts";

/** The rule as it stands; undefined: there is none. */
export async function fetchRule(cluster: Cluster, name: string): Promise<RuleStatus | undefined> {
	try {
		const answer = await cluster.request(requests.ruleGet, GetRuleRequestSchema, GetRuleResponseSchema, {
			name,
		});
		return answer.rule;
	} catch (error) {
		if (error instanceof SluiceError && error.code === "not_found") return undefined;
		throw error;
	}
}

/** After a put: passes on its warnings, waits for the hosts, and tells where the rule stands. */
export async function finishWrite(
	context: Context,
	cluster: Cluster,
	written: PutRuleResponse,
): Promise<void> {
	const { flags, terminal } = context;
	for (const warning of written.warnings) terminal.note(`sluice: warning: ${warning}`);
	if (!written.rule)
		throw new SluiceError("internal", "the answer holds no rule: services of one version belong together");
	const { name, revision } = written.rule;
	const awaited = [{ name, revision }];
	const statuses = await awaitHosts(cluster, awaited, { timeoutMs: flags.timeoutMs });
	const status = statuses.get(name);
	if (status) written.rule = status;
	if (flags.json) await terminal.write(`${toJsonText(PutRuleResponseSchema, written)}\n`);
	else await terminal.write(formatOutcome(status, name, context));
	requireAnswers(awaited, statuses, flags.timeoutMs);
	// Scripts keep the answer and look at the exit code, which is 0: a host id may be misspelt.
	if (flags.json && status) for (const line of formatWaiting([status])) terminal.note(`sluice: ${line}`);
}

function formatOutcome(status: RuleStatus | undefined, name: string, { terminal }: Context): string {
	if (!status) return `rule ${name}: removed by somebody else meanwhile\n`;
	return formatStates(status, terminal.colors)
		.map((state) => `rule ${name}: ${state}\n`)
		.join("");
}
