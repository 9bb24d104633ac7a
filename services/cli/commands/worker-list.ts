import { toJsonText } from "@sluice/lib/json";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { ListWorkersRequestSchema, ListWorkersResponseSchema } from "@sluice/proto/gen/worker";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { formatWorkers } from "../format/hosts.ts";
import { formatSilentHosts } from "../format/silent-hosts.ts";

export async function workerList({ flags, terminal }: Context): Promise<void> {
	await withCluster({ flags, terminal }, async (cluster) => {
		const answer = await cluster.request(
			requests.workerList,
			ListWorkersRequestSchema,
			ListWorkersResponseSchema,
			{},
		);
		// What became of the workers of a silent host nobody knows, but that it is silent.
		const { hosts } = await cluster.request(
			requests.hostList,
			ListHostsRequestSchema,
			ListHostsResponseSchema,
			{},
		);
		const silent = formatSilentHosts(hosts);
		if (flags.json) await terminal.write(`${toJsonText(ListWorkersResponseSchema, answer)}\n`);
		else if (answer.workers.length > 0 || silent.length === 0) {
			await terminal.write(formatWorkers(answer.workers, terminal.colors, terminal.columns));
		}
		for (const line of silent) terminal.note(`sluice: ${line}`);
	});
}
