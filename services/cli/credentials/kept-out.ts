import { readFile, stat } from "node:fs/promises";
import { serverTrust } from "@sluice/lib/config";
import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import { DataDir } from "../up/data-dir.ts";
import { refuseIssuing } from "../up/joined.ts";
import { serverNameIn, serverNameOf } from "../up/nats-conf.ts";
import { listIssued } from "./issued.ts";

/** What lets a host in that the nats-server of this data directory refuses. */
export type KeptOut =
	| { readonly why: "no credentials" }
	/** It was last seen with others than this file's, or this file knows another server than the one that is there now. */
	| { readonly why: "made anew" | "another server"; readonly file: string };

/** @param lastSeenSeconds undefined: never. Undefined: it is not kept out, as far as can be told. */
export type WhyKeptOut = (host: string, lastSeenSeconds?: number) => KeptOut | undefined;

/** Undefined: there is no such server, it serves no more, or who asks may not know. */
export async function keptOutHere(path: string): Promise<WhyKeptOut | undefined> {
	return await readKeptOut(new DataDir(path)).catch(() => undefined);
}

async function readKeptOut(dataDir: DataDir): Promise<WhyKeptOut> {
	await refuseIssuing(dataDir);
	const own = serverNameIn(await readFile(dataDir.natsConf, "utf8"));
	const issued = await listIssued(dataDir.credentialsFolder);
	// Whoever may ask may read this one.
	const trust = await trustIn(dataDir.credentials("reader"));
	const files = new Map<
		string,
		{ readonly file: string; readonly madeUnixMs: number; readonly fits: boolean }
	>();
	for (const { kind, name, path: file } of issued) {
		if (kind !== "host") continue;
		const known = await trustIn(file);
		const fits = known === undefined || trust === undefined || known === trust;
		files.set(name, { file, madeUnixMs: (await stat(file)).mtimeMs, fits });
	}
	return (host, lastSeenSeconds) => {
		if (serverNameOf(host) === own) return undefined;
		const known = files.get(host);
		if (known === undefined) return { why: "no credentials" };
		if (!known.fits) return { why: "another server", file: known.file };
		if (lastSeenSeconds === undefined) return undefined;
		// The server learns of new keys a moment later, and hears the old ones until then.
		const seenUnixMs = Date.now() - (lastSeenSeconds + HOST_GONE_SECONDS) * 1_000;
		return known.madeUnixMs > seenUnixMs ? { why: "made anew", file: known.file } : undefined;
	};
}

/** By what the file knows its server, to be compared; undefined: who asks may not read it, or it is damaged. */
async function trustIn(path: string): Promise<string | undefined> {
	try {
		const { ca, serverName } = serverTrust.parse(JSON.parse(await readFile(path, "utf8")));
		return JSON.stringify([ca, serverName]);
	} catch {
		return undefined;
	}
}
