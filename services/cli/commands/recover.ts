import { toJsonText } from "@sluice/lib/json";
import {
	RecoverRequest_Action as Action,
	RecoverRequestSchema,
	type RecoverResponse,
	RecoverResponseSchema,
} from "@sluice/proto/gen/cluster";
import { requests } from "@sluice/proto/subjects";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";

/** After the rules were lost: back with what hosts hold, or away with it. */
export async function recover({ flags, terminal }: Context, how: "restore" | "accept"): Promise<void> {
	const action = how === "restore" ? Action.RESTORE : Action.ACCEPT;
	await withCluster(flags, async (cluster) => {
		const answer = await cluster.request(
			requests.clusterRecover,
			RecoverRequestSchema,
			RecoverResponseSchema,
			{ action },
		);
		await terminal.write(
			flags.json ? `${toJsonText(RecoverResponseSchema, answer)}\n` : outcome(how, answer),
		);
	});
}

function outcome(how: "restore" | "accept", { hosts, restored }: RecoverResponse): string {
	if (hosts.length === 0) return "no host holds rules: nothing to do\n";
	if (how === "accept") return `what was lost is no longer held by ${hosts.join(", ")}\n`;
	const names = restored.map((name) => `+ ${name}\n`).join("");
	return `${names}${restored.length} rules restored from ${hosts.join(", ")}\n`;
}
