import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { formatRulesFile } from "../format/rules-file.ts";
import { listRules } from "../list-rules.ts";

/** All rules as the file that `apply` reads; JSON either way, so --json changes nothing. */
export async function exportRules({ flags, terminal }: Context): Promise<void> {
	await withCluster({ flags, terminal }, async (cluster) => {
		const statuses = await listRules(cluster, (warning) => terminal.note(`sluice: warning: ${warning}`));
		await terminal.write(formatRulesFile(statuses.flatMap((status) => status.rule ?? [])));
	});
}
