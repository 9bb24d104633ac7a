import { readBounded, readBoundedFile } from "@sluice/lib/bounded-text";
import { SluiceError } from "@sluice/lib/errors";
import { toJsonText } from "@sluice/lib/json";
import {
	ApplyResponse_Action as Action,
	type ApplyResponse,
	ApplyResponseSchema,
	type RuleStatus,
} from "@sluice/proto/gen/rule";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { CommandFailure, exitCodes, whyUnread } from "../failure.ts";
import { formatChanges } from "../format/changes.ts";
import { formatCount, formatCounted } from "../format/figures.ts";
import { formatStates, formatWaiting, isActive } from "../format/states.ts";
import { parseRulesFile } from "../parse/rules-file.ts";
import { uploadRules } from "../upload-rules.ts";
import { awaitHosts, requireAnswers } from "../wait/await-hosts.ts";

export interface ApplyOptions {
	file: string;
	dryRun?: boolean;
	prune?: boolean;
}

/** Below this many rules nobody has to be told that it goes on. */
const PROGRESS_FROM = 50;

export async function apply(context: Context, options: ApplyOptions): Promise<void> {
	const { flags, terminal } = context;
	const fromStdin = options.file === "-";
	const rules = parseRulesFile(fromStdin ? "standard input" : options.file, await readText(options.file));
	await withCluster({ flags, terminal }, async (cluster) => {
		const { prune = false, dryRun = false } = options;
		const stands = dryRun ? "" : ", and all or a part of it may stand";
		const response = await cluster.edit(
			() => uploadRules(cluster, rules, { prune, dryRun }),
			`the apply${stands}: run the same apply again`,
		);
		for (const warning of response.warnings) terminal.note(`sluice: warning: ${warning}`);
		if (flags.json) await terminal.write(`${toJsonText(ApplyResponseSchema, response)}\n`);
		else await terminal.write(formatChanges(response, terminal.colors, { dryRun }));
		if (!dryRun) await settle(context, cluster, response);
	});
}

/** Waits for the hosts of everything that was written. */
async function settle(
	{ flags, terminal }: Context,
	cluster: Cluster,
	response: ApplyResponse,
): Promise<void> {
	const awaited = response.changes
		.filter((change) => change.action === Action.ADDED || change.action === Action.CHANGED)
		.map(({ name, revision }) => ({ name, revision }));
	if (awaited.length === 0) return;
	const statuses = await awaitHosts(cluster, awaited, {
		timeoutMs: flags.timeoutMs,
		onProgress: (settled) => {
			if (awaited.length >= PROGRESS_FROM) terminal.progress(`${settled} of ${awaited.length} rules settled`);
		},
	});
	terminal.progress("");
	const all = Array.from(statuses.values());
	if (flags.json) for (const line of formatWaiting(all)) terminal.note(`sluice: ${line}`);
	else await terminal.write(formatOutcome(all, terminal.colors));
	requireAnswers(awaited, statuses, flags.timeoutMs);
}

/** The rules that forward are counted, the others named. */
function formatOutcome(statuses: RuleStatus[], colors: Context["terminal"]["colors"]): string {
	const others = statuses.filter((status) => !isActive(status));
	const lines = others.flatMap((status) =>
		formatStates(status, colors).map((state) => `rule ${status.name}: ${state}\n`),
	);
	const active = statuses.length - others.length;
	const written = formatCounted(statuses.length, "written rule");
	return `${lines.join("")}${formatCount(active)} of ${written} ${colors.green("ACTIVE")}\n`;
}

/** More than 20,000 rules with many outputs each. */
const FILE_LIMIT_BYTES = 64 * 1024 * 1024;

export async function readText(path: string): Promise<string> {
	try {
		if (path === "-") return await readBounded(Bun.stdin.stream(), "standard input", FILE_LIMIT_BYTES);
		return await readBoundedFile(path, FILE_LIMIT_BYTES);
	} catch (error) {
		if (error instanceof SluiceError) throw error;
		const line = `${path} ${whyUnread(error)}: name a file, or - for standard input`;
		throw new CommandFailure(exitCodes.failed, line, { cause: error });
	}
}
