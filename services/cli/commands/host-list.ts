import { toJsonText } from "@sluice/lib/json";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { keptOutHere } from "../credentials/kept-out.ts";
import { formatHosts } from "../format/hosts.ts";
import { formatSilentHosts, isSilent } from "../format/silent-hosts.ts";

export async function hostList({ flags, terminal }: Context): Promise<void> {
	await withCluster({ flags, terminal }, async (cluster) => {
		const answer = await cluster.request(
			requests.hostList,
			ListHostsRequestSchema,
			ListHostsResponseSchema,
			{},
		);
		if (flags.json) {
			// It says of each host when it was seen.
			await terminal.write(`${toJsonText(ListHostsResponseSchema, answer)}\n`);
			return;
		}
		await terminal.write(formatHosts(answer.hosts, terminal.colors));
		const gone = answer.hosts.some(isSilent);
		const whyKeptOut = gone ? await keptOutHere(flags.dataDir) : undefined;
		for (const line of formatSilentHosts(answer.hosts, whyKeptOut)) terminal.note(`sluice: ${line}`);
	});
}
