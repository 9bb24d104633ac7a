import { DataDir } from "../up/data-dir.ts";
import { refuseIssuing } from "../up/joined.ts";
import { listIssued } from "./issued.ts";

/**
 * Hosts that the nats-server of this data directory lets in and no list has. It knows nobody whom it did not hear since it
 * was started. None where there is no such server, or who asks may not know.
 */
export async function unseenHere(path: string, listed: readonly { host: string }[]): Promise<string[]> {
	const seen = new Set(listed.map(({ host }) => host));
	const dataDir = new DataDir(path);
	const issued = await refuseIssuing(dataDir)
		.then(() => listIssued(dataDir.credentialsFolder))
		.catch(() => []);
	return issued.flatMap(({ kind, name }) => (kind === "host" && !seen.has(name) ? [name] : []));
}
