import { toJsonText } from "@sluice/lib/json";
import { ForgetHostRequestSchema, ForgetHostResponseSchema } from "@sluice/proto/gen/host";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";

const UNKEPT =
	"sluice: no stats-aggregator has kept what it counted last: totals lack that if nats-server starts anew before one runs";

/** Leaves a host that is gone out of every list, and out of placement. */
export async function hostForget({ flags, terminal }: Context, host: string): Promise<void> {
	await withCluster({ flags, terminal }, async (cluster) => {
		const answer = await cluster.request(
			requests.hostForget,
			ForgetHostRequestSchema,
			ForgetHostResponseSchema,
			{ host },
		);
		if (flags.json) await terminal.write(`${toJsonText(ForgetHostResponseSchema, answer)}\n`);
		else if (answer.known) await terminal.write(`host ${host} is forgotten until it comes back\n`);
		else await terminal.write(`host ${host} stood in no list; no host remembers it now\n`);
		if (answer.known && !answer.figuresKept) terminal.note(UNKEPT);
	});
}
