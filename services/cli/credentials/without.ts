import { readFile } from "node:fs/promises";
import { DataDir } from "../up/data-dir.ts";
import { serverNameIn, serverNameOf } from "../up/nats-conf.ts";
import { listIssued } from "./issued.ts";

/**
 * Who is no host to the nats-server of this data directory: neither its own, nor one with credentials that hold.
 * @throws when there is none, or who asks may not know.
 */
export async function hostsWithoutCredentials(path: string): Promise<(host: string) => boolean> {
	const { natsConf, credentialsFolder } = new DataDir(path);
	const own = serverNameIn(await readFile(natsConf, "utf8"));
	const issued = await listIssued(credentialsFolder);
	const known = new Set(issued.filter(({ kind }) => kind === "host").map(({ name }) => name));
	return (host) => !known.has(host) && serverNameOf(host) !== own;
}
