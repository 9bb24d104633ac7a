import { readFile } from "node:fs/promises";
import { DataDir } from "../up/data-dir.ts";
import { refuseIssuing } from "../up/joined.ts";
import { serverNameIn, serverNameOf } from "../up/nats-conf.ts";
import { listIssued } from "./issued.ts";

/**
 * Who is no host to the nats-server of this data directory: neither its own, nor one with credentials that hold.
 * @throws when there is none, it serves no more, or who asks may not know.
 */
export async function hostsWithoutCredentials(path: string): Promise<(host: string) => boolean> {
	const dataDir = new DataDir(path);
	await refuseIssuing(dataDir);
	const { natsConf, credentialsFolder } = dataDir;
	const own = serverNameIn(await readFile(natsConf, "utf8"));
	const issued = await listIssued(credentialsFolder);
	const known = new Set(issued.filter(({ kind }) => kind === "host").map(({ name }) => name));
	return (host) => !known.has(host) && serverNameOf(host) !== own;
}
