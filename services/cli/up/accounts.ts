import { readFile } from "node:fs/promises";
import { CommandFailure, exitCodes } from "../failure.ts";

export interface Account {
	readonly uid: number;
	readonly gid: number;
}

/** The system accounts that the launcher creates; each service runs as its own. */
export interface Accounts {
	/** Whose the data directory is: root, but in containers. */
	readonly owner: Account;
	readonly nats: Account;
	readonly api: Account;
	readonly stats: Account;
	readonly worker: Account;
	/** Members may ask without root, and change nothing. */
	readonly operatorsGid: number;
	/** By the name of the credentials: the group that may read them. Of all others the owner alone. */
	readonly readers: Readonly<Record<string, number>>;
}

export const WORKER_USER = "sluice-worker";

export async function readAccounts(): Promise<Accounts> {
	const operatorsGid = await findGroup("sluice");
	return {
		owner: { uid: 0, gid: 0 },
		nats: await findUser("sluice-nats"),
		api: await findUser("sluice-api"),
		stats: await findUser("sluice-stats"),
		worker: await findUser(WORKER_USER),
		operatorsGid,
		readers: { reader: operatorsGid, joined: operatorsGid },
	};
}

export async function findUser(name: string): Promise<Account> {
	const entry = findEntry(await readFile("/etc/passwd", "utf8"), "user", name);
	return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

/** @returns its gid. */
export async function findGroup(name: string): Promise<number> {
	return Number(findEntry(await readFile("/etc/group", "utf8"), "group", name)[2]);
}

function findEntry(text: string, what: string, name: string): string[] {
	const line = text.split("\n").find((each) => each.startsWith(`${name}:`));
	if (line === undefined) {
		throw new CommandFailure(
			exitCodes.failed,
			`the system ${what} ${name} does not exist: run sudo ./sluice build, which creates it`,
		);
	}
	return line.split(":");
}
