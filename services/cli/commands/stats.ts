import { toJsonText } from "@sluice/lib/json";
import { type GetStatsResponse, GetStatsResponseSchema } from "@sluice/proto/gen/stats";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { fetchStats } from "../fetch-stats.ts";
import { formatStats } from "../format/stats.ts";

export interface StatsOptions {
	watch?: boolean;
}

const WATCH_INTERVAL_MS = 1_000;
const HOME_AND_CLEAR = "\x1b[H\x1b[J";

export async function stats(
	context: Context,
	name: string | undefined,
	options: StatsOptions,
): Promise<void> {
	const names = name === undefined ? [] : [name];
	await withCluster(context.flags, async (cluster) => {
		if (options.watch) await watch(context, cluster, names);
		else await context.terminal.write(render(context, await fetchStats(cluster, names)));
	});
}

/** Until interrupted: redraws on a terminal, block after block otherwise, one object a line with --json. */
async function watch(context: Context, cluster: Cluster, names: string[]): Promise<void> {
	const { flags, terminal } = context;
	const interrupted = Promise.withResolvers<"interrupted">();
	const interrupt = () => interrupted.resolve("interrupted");
	process.on("SIGINT", interrupt);
	process.on("SIGTERM", interrupt);
	try {
		while (true) {
			const started = performance.now();
			const answer = await Promise.race([fetchStats(cluster, names), interrupted.promise]);
			if (answer === "interrupted") return;
			const text = render(context, answer);
			if (flags.json) await terminal.write(text);
			else await terminal.write(terminal.interactive ? HOME_AND_CLEAR + text : `${text}\n`);
			const pauseMs = Math.max(0, WATCH_INTERVAL_MS - (performance.now() - started));
			if ((await Promise.race([Bun.sleep(pauseMs), interrupted.promise])) === "interrupted") return;
		}
	} finally {
		process.off("SIGINT", interrupt);
		process.off("SIGTERM", interrupt);
	}
}

function render({ flags, terminal }: Context, answer: GetStatsResponse): string {
	if (flags.json) return `${toJsonText(GetStatsResponseSchema, answer)}\n`;
	return formatStats(answer, terminal.colors);
}
