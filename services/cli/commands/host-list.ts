import { toJsonText } from "@sluice/lib/json";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { formatHosts } from "../format/hosts.ts";

export async function hostList({ flags, terminal }: Context): Promise<void> {
	await withCluster(flags, async (cluster) => {
		const answer = await cluster.request(
			requests.hostList,
			ListHostsRequestSchema,
			ListHostsResponseSchema,
			{},
		);
		if (flags.json) await terminal.write(`${toJsonText(ListHostsResponseSchema, answer)}\n`);
		else await terminal.write(formatHosts(answer.hosts, terminal.colors));
	});
}
