import type { MessageInitShape } from "@bufbuild/protobuf";
import { toJsonText } from "@sluice/lib/json";
import {
	RecoverRequest_Action as Action,
	RecoverRequestSchema,
	type RecoverResponse,
	type RecoverResponse_HeldByHost,
	RecoverResponseSchema,
} from "@sluice/proto/gen/cluster";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { requests } from "@sluice/proto/subjects";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { formatCounted } from "../format/figures.ts";
import { formatWaiting } from "../format/states.ts";
import { listRules } from "../list-rules.ts";
import { awaitHosts } from "../wait/await-hosts.ts";

type How = "restore" | "accept";

/** After the rules were lost: back with what hosts hold, or away with it. What that is it says before. */
export async function recover({ flags, terminal }: Context, how: How): Promise<void> {
	await withCluster({ flags, terminal }, async (cluster) => {
		const seen = await request(cluster, { action: Action.LOOK });
		for (const held of seen.held) terminal.note(`sluice: ${formatHeld(held)}`);
		const action = how === "restore" ? Action.RESTORE : Action.ACCEPT;
		const answer = seen.hosts.length === 0 ? seen : await request(cluster, { action });
		await terminal.write(
			flags.json ? `${toJsonText(RecoverResponseSchema, answer)}\n` : outcome(how, answer),
		);
		if (answer.hosts.length === 0) return;
		for (const line of await waiting(cluster, how, answer, flags.timeoutMs)) terminal.note(`sluice: ${line}`);
	});
}

function request(
	cluster: Cluster,
	message: MessageInitShape<typeof RecoverRequestSchema>,
): Promise<RecoverResponse> {
	return cluster.request(requests.clusterRecover, RecoverRequestSchema, RecoverResponseSchema, message);
}

function formatHeld({ host, rules, names }: RecoverResponse_HeldByHost): string {
	const more = rules > names.length ? ` and ${rules - names.length} more` : "";
	return `${host} holds ${formatCounted(rules, "rule")}: ${names.join(", ")}${more}`;
}

function outcome(how: How, { hosts, restored }: RecoverResponse): string {
	if (hosts.length === 0) return "no host holds rules: nothing to do\n";
	if (how === "accept") return `what was lost is no longer held by ${hosts.join(", ")}\n`;
	const names = restored.map((name) => `+ ${name}\n`).join("");
	return `${names}${formatCounted(restored.length, "rule")} restored from ${hosts.join(", ")}\n`;
}

/** Of the rules that were restored, or of those that are stored, those that do not flow everywhere, and why. */
async function waiting(
	cluster: Cluster,
	how: How,
	{ hosts, restored }: RecoverResponse,
	timeoutMs: number,
): Promise<string[]> {
	const deadline = performance.now() + timeoutMs;
	while ((await areHolding(cluster, hosts)) && performance.now() < deadline) await Bun.sleep(POLL_MS);
	const names = how === "restore" ? restored : (await listRules(cluster)).map(({ name }) => name);
	const awaited = names.map((name) => ({ name, revision: 0n }));
	const statuses = await awaitHosts(cluster, awaited, { timeoutMs: deadline - performance.now() });
	return formatWaiting([...statuses.values()]);
}

const POLL_MS = 50;

/** A host that holds says nothing else of a rule: what it makes of it shows only then. */
async function areHolding(cluster: Cluster, hosts: readonly string[]): Promise<boolean> {
	const list = await cluster.request(requests.hostList, ListHostsRequestSchema, ListHostsResponseSchema, {});
	return list.hosts.some(({ host, holding }) => holding !== "" && hosts.includes(host));
}
