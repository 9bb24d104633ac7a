import type { MessageInitShape } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import { toJsonText } from "@sluice/lib/json";
import { isUnanswered, isUnheard } from "@sluice/lib/rule-status";
import {
	RecoverRequest_Action as Action,
	RecoverRequestSchema,
	type RecoverResponse,
	type RecoverResponse_HeldByHost,
	type RecoverResponse_HeldRule,
	RecoverResponseSchema,
} from "@sluice/proto/gen/cluster";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { requests } from "@sluice/proto/subjects";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { CommandFailure, exitCodes } from "../failure.ts";
import { formatCount, formatCounted } from "../format/figures.ts";
import { formatWaiting } from "../format/states.ts";
import { listRules } from "../list-rules.ts";
import { awaitHosts } from "../wait/await-hosts.ts";

type How = "restore" | "accept";

export interface RecoverOptions {
	dryRun?: boolean;
	without?: string[];
}

/** On stderr; the others are counted. */
const LINES = 20;
const NAMES = 5;

/** After the rules were lost: back with what hosts hold, or away with it. Whatever could not be done is named. */
export async function recover(context: Context, how: How, options: RecoverOptions): Promise<void> {
	const { flags, terminal } = context;
	const { dryRun = false, without = [] } = options;
	await withCluster(context, async (cluster) => {
		const action = how === "restore" ? Action.RESTORE : Action.ACCEPT;
		const answer = await request(cluster, how, { action, dryRun, without });
		for (const line of remarks(how, answer)) terminal.note(`sluice: ${line}`);
		await terminal.write(
			flags.json
				? `${toJsonText(RecoverResponseSchema, answer)}\n`
				: dryRun
					? preview(how, answer)
					: outcome(how, answer),
		);
		if (!dryRun && answer.hosts.length > 0) {
			const lines = await waiting(cluster, how, answer, flags.timeoutMs);
			for (const line of lines) terminal.note(`sluice: ${line}`);
		}
		requireAll(answer);
	});
}

/** Of thousands of rules it takes more than --timeout usually allows, and goes on. */
async function request(
	cluster: Cluster,
	how: How,
	message: MessageInitShape<typeof RecoverRequestSchema> & { readonly dryRun: boolean },
): Promise<RecoverResponse> {
	const goesOn = message.dryRun ? "" : ", which may go on all the same";
	const subject = requests.clusterRecover;
	const ask = () => cluster.request(subject, RecoverRequestSchema, RecoverResponseSchema, message);
	try {
		return await cluster.edit(ask, `the ${how}${goesOn}: look with sluice host list, then run it again`);
	} catch (error) {
		if (!(error instanceof SluiceError && error.code === "timeout")) throw error;
		const remedy = "look with sluice host list, or run it again with a longer --timeout";
		throw new SluiceError("timeout", `no answer yet to the ${how}${goesOn}: ${remedy}`, { cause: error });
	}
}

function remarks(how: How, { held, overruled, left, unheard }: RecoverResponse): string[] {
	const whenBack =
		how === "restore"
			? "what only it holds can be put back when it is there again"
			: "it goes on with them when it is there again, and has to be told then";
	return [
		...held.filter(({ rules }) => rules > 0).map(formatHeld),
		...few(overruled, ({ name, hosts, reason }) => {
			return `rule ${name} stays as it is stored, not as ${hosts.join(", ")} holds it: ${reason}`;
		}),
		...few(left, ({ name, hosts, reason }) => {
			return `rule ${name} of ${hosts.join(", ")} is not put back: ${reason}`;
		}),
		...unheard.map(({ host, reason, away }) =>
			away
				? `${host} holds rules and is away (${reason}): ${whenBack}`
				: `${host} holds rules and was not heard: ${reason}`,
		),
	];
}

function few(
	rules: readonly RecoverResponse_HeldRule[],
	format: (rule: RecoverResponse_HeldRule) => string,
): string[] {
	const lines = rules.slice(0, LINES).map(format);
	const more = rules.length - lines.length;
	return more > 0 ? [...lines, `likewise ${formatCount(more)} more: --json lists them`] : lines;
}

function formatHeld({ host, rules, names }: RecoverResponse_HeldByHost): string {
	const more = rules > NAMES ? ` and ${formatCount(rules - NAMES)} more` : "";
	return `${host} holds ${formatCounted(rules, "rule")}: ${names.slice(0, NAMES).join(", ")}${more}`;
}

function outcome(how: How, answer: RecoverResponse): string {
	const { hosts, restored } = answer;
	if (hosts.length === 0) return nothing(answer);
	if (how === "accept")
		return `what was lost is no longer held by ${released(answer).join(", ") || "no host"}\n`;
	const names = restored.map((name) => `+ ${name}\n`).join("");
	return `${names}${formatCounted(restored.length, "rule")} restored from ${hosts.join(", ")}\n`;
}

/** Each rule with the hosts that hold it, as far as the answer has their names. */
function preview(how: How, answer: RecoverResponse): string {
	const { hosts, held, restored, dropped } = answer;
	if (hosts.length === 0) return nothing(answer);
	const holders = new Map<string, string[]>();
	for (const { host, names } of held)
		for (const name of names) holders.set(name, [...(holders.get(name) ?? []), host]);
	const [sign, names, done] =
		how === "restore" ? (["+", restored, "restored"] as const) : (["-", dropped, "dropped"] as const);
	const lines = names.map((name) => {
		const by = holders.get(name);
		return `${sign} ${name}${by === undefined ? "" : `, held by ${by.join(", ")}`}\n`;
	});
	return `${lines.join("")}${formatCounted(names.length, "rule")} would be ${done}\n`;
}

function nothing({ unheard }: RecoverResponse): string {
	return `no host ${unheard.length === 0 ? "" : "that was heard "}holds rules: nothing to do\n`;
}

/** Hosts that do now what is stored. */
function released({ held }: RecoverResponse): string[] {
	return held.filter(({ left }) => left === 0).map(({ host }) => host);
}

/** @throws CommandFailure when something is left that is held. */
function requireAll({ left, unheard }: RecoverResponse): void {
	const silent = unheard.filter(({ away }) => !away).map(({ host }) => host);
	const names = silent.join(", ");
	const complaints = [
		...(left.length > 0 ? ["not all rules can be put back"] : []),
		...(silent.length > 0 ? [`${names} ${silent.length === 1 ? "was" : "were"} not heard`] : []),
	];
	if (complaints.length === 0) return;
	const remedies = [
		...(left.length > 0
			? ["change or remove what is in their way, or name a host to leave out with --without, then try again"]
			: []),
		...(silent.length > 0 ? [`look at sluice up there and try again, or say --without ${silent[0]}`] : []),
	];
	throw new CommandFailure(exitCodes.failed, `${complaints.join(", and ")}: ${remedies.join("; ")}`);
}

/** Of the rules that were restored, or of those that are stored, those that do not flow everywhere, and why. */
async function waiting(
	cluster: Cluster,
	how: How,
	answer: RecoverResponse,
	timeoutMs: number,
): Promise<string[]> {
	const deadline = performance.now() + timeoutMs;
	const hosts = released(answer);
	while ((await areHolding(cluster, hosts)) && performance.now() < deadline) await Bun.sleep(POLL_MS);
	const names = how === "restore" ? answer.restored : (await listRules(cluster)).map(({ name }) => name);
	const awaited = names.map((name) => ({ name, revision: 0n }));
	const statuses = await awaitHosts(cluster, awaited, {
		timeoutMs: deadline - performance.now(),
		// Whoever is gone is named, and need not come back for this.
		isOpen: (state) => isUnanswered(state) && !isUnheard(state.reason),
	});
	return formatWaiting([...statuses.values()]);
}

const POLL_MS = 50;

/** A host that holds says nothing else of a rule: what it makes of it shows only then. */
async function areHolding(cluster: Cluster, hosts: readonly string[]): Promise<boolean> {
	const list = await cluster.request(requests.hostList, ListHostsRequestSchema, ListHostsResponseSchema, {});
	return list.hosts.some(({ host, holding }) => holding !== "" && hosts.includes(host));
}
