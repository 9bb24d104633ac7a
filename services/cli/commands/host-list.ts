import { toJsonText } from "@sluice/lib/json";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { formatHosts } from "../format/hosts.ts";
import { formatSilentHosts, isSilent } from "../format/silent-hosts.ts";

/** Only for who may read what this host's own nats-server lets in. */
async function refusedHere(dataDir: string): Promise<((host: string) => boolean) | undefined> {
	const { hostsWithoutCredentials } = await import("../credentials/without.ts");
	return await hostsWithoutCredentials(dataDir).catch(() => undefined);
}

export async function hostList({ flags, terminal }: Context): Promise<void> {
	await withCluster(flags, async (cluster) => {
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
		const isRefused = gone ? await refusedHere(flags.dataDir) : undefined;
		for (const line of formatSilentHosts(answer.hosts, isRefused)) terminal.note(`sluice: ${line}`);
	});
}
