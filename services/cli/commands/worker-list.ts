import { toJsonText } from "@sluice/lib/json";
import { ListWorkersRequestSchema, ListWorkersResponseSchema } from "@sluice/proto/gen/worker";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { formatWorkers } from "../format/hosts.ts";

export async function workerList({ flags, terminal }: Context): Promise<void> {
	await withCluster(flags, async (cluster) => {
		const answer = await cluster.request(
			requests.workerList,
			ListWorkersRequestSchema,
			ListWorkersResponseSchema,
			{},
		);
		if (flags.json) await terminal.write(`${toJsonText(ListWorkersResponseSchema, answer)}\n`);
		else await terminal.write(formatWorkers(answer.workers, terminal.colors));
	});
}
