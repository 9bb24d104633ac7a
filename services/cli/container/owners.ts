import { lstat, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../context.ts";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { Accounts } from "../up/accounts.ts";
import { DataDir } from "../up/data-dir.ts";
import { readContainerAccounts } from "./accounts.ts";
import { relayDir } from "./start-line.ts";

/**
 * Gives what is in the volumes to whom it is to belong, which takes root: after what did not keep owners, as some ways
 * to restore a backup, and once for volumes of a version whose `init` was root (ADR 0104).
 */
export async function containerOwners({ flags, terminal }: Context): Promise<void> {
	const accounts = await readContainerAccounts();
	const dataDir = new DataDir(flags.dataDir);
	const relays = relayDir(dataDir);
	await mkdir(relays.path, { recursive: true, mode: 0o700 });
	await rename(dataDir.incarnation, relays.incarnation).catch(() => {});
	await dataDir.writeNatsTls(undefined, accounts.nats.gid);
	await dataDir.prepare(accounts);
	await terminal.write(`what is in ${dataDir.path} belongs to whom it should\n`);
}

/**
 * `init` makes files and may give none away, so that it cannot put this right. A new volume has all owners from the image.
 * @throws CommandFailure that names the first such file, and the remedy.
 */
export async function refuseForeign(
	dataDir: DataDir,
	{ owner, nats }: Accounts,
	kind: "own" | "joined",
): Promise<void> {
	const credentials = dataDir.credentialsFolder;
	const names = await readdir(credentials).catch(() => []);
	const owned = [
		...[dataDir.path, credentials, ...names.map((name) => join(credentials, name))],
		...dataDir.ownFiles,
	];
	const owners: [path: string, uid: number][] = owned.map((path) => [path, owner.uid]);
	owners.push([relayDir(dataDir).path, 0]);
	if (kind === "own") owners.push([dataDir.nats, nats.uid]);
	for (const [path, uid] of owners) {
		const is = await lstat(path).catch(() => undefined);
		if (is === undefined || is.uid === uid) continue;
		const compose = `docker compose ${kind === "own" ? "" : "-f compose.relay.yaml "}`;
		throw new CommandFailure(
			exitCodes.failed,
			`${path} belongs to user ${is.uid}, not ${uid}: ${compose}run --rm owners, then ${compose}up -d`,
		);
	}
}
