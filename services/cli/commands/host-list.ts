import { toJsonText } from "@sluice/lib/json";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { keptOutHere } from "../credentials/kept-out.ts";
import { unseenHere } from "../credentials/unseen.ts";
import { formatHosts } from "../format/hosts.ts";
import { formatSilentHosts, formatUnseen, isSilent } from "../format/silent-hosts.ts";

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
		await terminal.write(formatHosts(answer.hosts, terminal.colors, terminal.columns));
		// With other credentials it may be another cluster's list.
		const unseen = flags.credentialsPath === undefined ? await unseenHere(flags.dataDir, answer.hosts) : [];
		const isMissing = unseen.length > 0 || answer.hosts.some(isSilent);
		const whyKeptOut = isMissing ? await keptOutHere(flags.dataDir) : undefined;
		const lines = [...formatSilentHosts(answer.hosts, whyKeptOut), ...formatUnseen(unseen, whyKeptOut)];
		for (const line of lines) terminal.note(`sluice: ${line}`);
	});
}
