import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createUser, fromSeed } from "@nats-io/nkeys";
import { type ServerTrust, serverTrust } from "@sluice/lib/config";
import { hostConnectionName } from "@sluice/proto/subjects";
import { z } from "zod";
import type { Accounts } from "./accounts.ts";
import type { DataDir } from "./data-dir.ts";
import { RELOADER } from "./nats-conf.ts";
import { type IdentityName, identityNames } from "./permissions.ts";

export interface Identity {
	readonly name: IdentityName;
	/** "U…", for the server's configuration. */
	readonly publicKey: string;
	/** "SU…", secret. */
	readonly seed: string;
}

export type Identities = Readonly<Record<IdentityName, Identity>>;

export const nkeyCredentialsFile = z.object({
	name: z.string(),
	seed: z.string(),
	url: z.string(),
	...serverTrust.shape,
});
type Stored = z.output<typeof nkeyCredentialsFile>;

/**
 * The host's identities: made at the first start and kept, so that copies of the operator's
 * file stay good. Each file says where the server is, and is rewritten when that changed.
 * @param host this host's id.
 */
export async function readOrMakeIdentities(
	dataDir: DataDir,
	accounts: Accounts,
	host: string,
	url: string,
	trust: ServerTrust,
): Promise<Identities> {
	const entries = await Promise.all(
		identityNames.map(
			async (name) => [name, await readOrMake(dataDir, accounts, name, host, { url, ...trust })] as const,
		),
	);
	return Object.fromEntries(entries) as Record<IdentityName, Identity>;
}

async function readOrMake(
	dataDir: DataDir,
	accounts: Accounts,
	name: IdentityName,
	host: string,
	server: ServerAddress,
): Promise<Identity> {
	const path = dataDir.credentials(name);
	const stored = await readStored(path);
	const seed = stored?.seed ?? makeSeed();
	const called = name === "reader" ? hostConnectionName(name, host) : name;
	if (stored?.name !== called || !sameServer(stored, server)) {
		const text = nkeyFile(called, seed, server);
		// Services get their seeds on standard input; only people read files, and who may read may not write rules.
		const reader = accounts.readers[name];
		await dataDir.write(path, text, reader === undefined ? 0o600 : 0o640, reader);
		// The plain seed, as the nats command line tool takes it.
		if (name === "operator") await dataDir.write(dataDir.operatorSeed, seed, 0o600);
	}
	return { name, seed, publicKey: publicKeyOf(seed) };
}

/**
 * What `--credentials` takes, but for hosts.
 * @param joinedWith only in what a joined host keeps: the flags of its `up`.
 */
export function nkeyFile(
	name: string,
	seed: string,
	{ url, ca, serverName }: ServerAddress,
	joinedWith?: string,
): string {
	return `${JSON.stringify({ kind: "nkey", name, seed, url, ca, serverName, joinedWith }, null, "\t")}\n`;
}

/** Where a server is, and by what it is known. */
export interface ServerAddress extends ServerTrust {
	readonly url: string;
}

function sameServer(a: ServerAddress, b: ServerAddress): boolean {
	return a.url === b.url && a.ca === b.ca && a.serverName === b.serverName;
}

export function makeSeed(): string {
	return new TextDecoder().decode(createUser().getSeed());
}

/** @throws when it is no seed. */
export function publicKeyOf(seed: string): string {
	return fromSeed(new TextEncoder().encode(seed)).getPublicKey();
}

/** Undefined: there is none, or a crash left something unreadable; a new key is as good. */
async function readStored(path: string): Promise<Stored | undefined> {
	try {
		const stored = nkeyCredentialsFile.parse(JSON.parse(await readFile(path, "utf8")));
		publicKeyOf(stored.seed);
		return stored;
	} catch {
		return undefined;
	}
}

/** Of who tells nats-server to read its configuration anew; made once. */
export async function readOrMakeReloader(dataDir: DataDir, server: ServerAddress): Promise<string> {
	const path = dataDir.credentials(RELOADER);
	const stored = await readStored(path);
	const seed = stored?.seed ?? makeSeed();
	if (stored === undefined || !sameServer(stored, server))
		await dataDir.write(path, nkeyFile(RELOADER, seed, server), 0o600);
	return seed;
}

const TOKEN_BYTES = 32;

/** What HTTP clients must show to write; made once. */
export async function readOrMakeHttpToken(dataDir: DataDir): Promise<string> {
	const known = await readFile(dataDir.httpToken, "utf8").catch(() => "");
	if (/^[0-9a-f]{64}\n$/.test(known)) {
		return known.trim();
	}
	const token = randomBytes(TOKEN_BYTES).toString("hex");
	await dataDir.write(dataDir.httpToken, `${token}\n`, 0o600);
	return token;
}

/** Made once; it stays with the data directory. */
export async function readOrMakeInstallation(dataDir: DataDir): Promise<string> {
	const known = await readFile(dataDir.installation, "utf8").catch(() => "");
	if (/^[0-9a-f-]{36}\n$/.test(known)) return known.trim();
	const made = randomUUID();
	await dataDir.write(dataDir.installation, `${made}\n`, 0o600);
	return made;
}
