import { lstat, readFile } from "node:fs/promises";
import { hostConnectionName } from "@sluice/proto/subjects";
import { z } from "zod";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { DataDir } from "./data-dir.ts";
import type { HostCredentials } from "./host-credentials.ts";
import { nkeyFile } from "./identities.ts";

/** What a data directory says of the cluster that it joined; nothing when the file is damaged. */
const joined = z.object({ url: z.string(), joinedWith: z.string().optional() });
type Joined = Partial<z.output<typeof joined>>;

/**
 * The credentials of who looks from this host. That they are there keeps commands, and a later `up`, from taking the
 * directory for one with a cluster of its own.
 * @param joinedWith the flags with which `up` joins again, as a shell takes them.
 */
export function joinedText(
	{ host, reader, ca, serverName }: HostCredentials,
	url: string,
	joinedWith?: string,
): string {
	return nkeyFile(hostConnectionName("reader", host), reader.seed, { url, ca, serverName }, joinedWith);
}

const NOT_THERE: readonly unknown[] = ["ENOENT", "ENOTDIR", "EACCES"];

/** Undefined: it joined none, or who asks may not look into it. */
async function readJoined(path: string): Promise<Joined | undefined> {
	try {
		// Whatever has the name counts, a link to nowhere as well; a pipe would be read for ever.
		const isFile = (await lstat(path)).isFile();
		return isFile ? joined.parse(JSON.parse(await readFile(path, "utf8"))) : {};
	} catch (thrown) {
		const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
		return NOT_THERE.includes(code) ? undefined : {};
	}
}

/** Whether the directory has joined a cluster, and is marked so. */
export async function hasJoined(dataDir: DataDir): Promise<boolean> {
	return (await readJoined(dataDir.joined)) !== undefined;
}

/**
 * A unit that lost its flag must not make a second cluster beside the one that has this host's rules.
 * @param again how to join again, where that is no matter of flags.
 * @throws CommandFailure when the directory has joined a cluster.
 */
export async function refuseOwnCluster(dataDir: DataDir, again?: string): Promise<void> {
	const to = await readJoined(dataDir.joined);
	if (to === undefined) return;
	const how = again ?? `add ${to.joinedWith ?? "--credentials FILE"} to join it again`;
	throw new CommandFailure(
		exitCodes.failed,
		`${dataDir.path} has joined ${clusterAt(to)}: ${how}, or remove ${dataDir.joined} to start a cluster of its own`,
	);
}

/** @throws CommandFailure when the keys of this host's cluster are made elsewhere. */
export async function refuseIssuing(dataDir: DataDir): Promise<void> {
	const to = await readJoined(dataDir.joined);
	if (to === undefined) return;
	throw new CommandFailure(
		exitCodes.failed,
		`this host has joined ${clusterAt(to)}, and credentials are made where that runs: ask on its first host`,
	);
}

function clusterAt({ url }: Joined): string {
	return url === undefined ? "another cluster" : `the cluster at ${url}`;
}
