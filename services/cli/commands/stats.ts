import { SluiceError } from "@sluice/lib/errors";
import { toJsonText } from "@sluice/lib/json";
import { type GetStatsResponse, GetStatsResponseSchema } from "@sluice/proto/gen/stats";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { fetchCollectedStats, fetchStats, type WantedStats } from "../fetch-stats.ts";
import { formatStats } from "../format/stats.ts";

export interface StatsOptions {
	watch?: boolean;
	workers?: boolean;
}

type Answer = GetStatsResponse | SluiceError | "interrupted";

const WATCH_INTERVAL_MS = 1_000;

export async function stats(
	context: Context,
	name: string | undefined,
	options: StatsOptions,
): Promise<void> {
	const wanted = { names: name === undefined ? [] : [name], perWorker: options.workers === true };
	await withCluster(context, async (cluster) => {
		if (options.watch) await watch(context, cluster, wanted);
		else
			await context.terminal.write(
				render(context, await fetchCollectedStats(cluster, wanted, context.flags.timeoutMs)),
			);
	});
}

/** Until interrupted: redraws on a terminal, block after block otherwise, one object a line with --json. */
async function watch(context: Context, cluster: Cluster, wanted: WantedStats): Promise<void> {
	const { flags } = context;
	const interrupted = Promise.withResolvers<"interrupted">();
	const interrupt = () => interrupted.resolve("interrupted");
	process.on("SIGINT", interrupt);
	process.on("SIGTERM", interrupt);
	try {
		let answer: Answer = await Promise.race([
			fetchCollectedStats(cluster, wanted, flags.timeoutMs),
			interrupted.promise,
		]);
		let shownMs = performance.now();
		while (answer !== "interrupted") {
			if (answer instanceof SluiceError) await tellOutage(context, answer, performance.now() - shownMs);
			else {
				await show(context, answer);
				shownMs = performance.now();
			}
			if ((await Promise.race([Bun.sleep(WATCH_INTERVAL_MS), interrupted.promise])) === "interrupted") return;
			answer = await Promise.race([fetchOrOutage(cluster, wanted), interrupted.promise]);
		}
	} finally {
		process.off("SIGINT", interrupt);
		process.off("SIGTERM", interrupt);
	}
}

/** A gap, while an aggregator or nats-server is started anew, does not end the watch. */
async function fetchOrOutage(cluster: Cluster, wanted: WantedStats): Promise<GetStatsResponse | SluiceError> {
	try {
		return await fetchStats(cluster, wanted, WATCH_INTERVAL_MS);
	} catch (error) {
		const passing =
			error instanceof SluiceError && (error.code === "unavailable" || error.code === "timeout");
		if (!passing) throw error;
		return error;
	}
}

/** On a terminal in the place of the figures: old ones must not look alive. */
async function tellOutage({ flags, terminal }: Context, error: SluiceError, silentMs: number): Promise<void> {
	const { red } = terminal.colors;
	const line = `no figures for ${Math.ceil(silentMs / 1_000)} s: ${error.message}`;
	if (terminal.interactive && !flags.json) await terminal.redraw(`${red(line)}\n`);
	else terminal.note(`sluice: ${line}`);
}

async function show(context: Context, answer: GetStatsResponse): Promise<void> {
	const { flags, terminal } = context;
	const text = render(context, answer);
	if (flags.json) await terminal.write(text);
	else await terminal.redraw(text);
}

function render({ flags, terminal }: Context, answer: GetStatsResponse): string {
	if (flags.json) return `${toJsonText(GetStatsResponseSchema, answer)}\n`;
	return formatStats(answer, terminal.colors);
}
