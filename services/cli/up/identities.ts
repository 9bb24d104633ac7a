import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createUser, fromSeed } from "@nats-io/nkeys";
import { z } from "zod";
import type { Accounts } from "./accounts.ts";
import type { DataDir } from "./data-dir.ts";
import { type IdentityName, identityNames } from "./permissions.ts";

export interface Identity {
	readonly name: IdentityName;
	/** "U…", for the server's configuration. */
	readonly publicKey: string;
	/** "SU…", secret. */
	readonly seed: string;
}

export type Identities = Readonly<Record<IdentityName, Identity>>;

const storedCredentials = z.object({ seed: z.string(), url: z.string() });

/**
 * The host's identities: made at the first start and kept, so that copies of the operator's
 * file stay good. Each file says where the server is, and is rewritten when that changed.
 */
export async function readOrMakeIdentities(
	dataDir: DataDir,
	accounts: Accounts,
	url: string,
): Promise<Identities> {
	const entries = await Promise.all(
		identityNames.map(async (name) => [name, await readOrMake(dataDir, accounts, name, url)] as const),
	);
	return Object.fromEntries(entries) as Record<IdentityName, Identity>;
}

async function readOrMake(
	dataDir: DataDir,
	accounts: Accounts,
	name: IdentityName,
	url: string,
): Promise<Identity> {
	const path = dataDir.credentials(name);
	const stored = await readStored(path);
	const seed = stored?.seed ?? new TextDecoder().decode(createUser().getSeed());
	if (stored?.url !== url) {
		const text = `${JSON.stringify({ kind: "nkey", name, seed, url }, null, "\t")}\n`;
		// Services get their seeds on standard input; only people read files, and who may read may not write rules.
		const forGroup = name === "reader";
		await dataDir.write(path, text, forGroup ? 0o640 : 0o600, forGroup ? accounts.operatorsGid : 0);
		// The plain seed, as the nats command line tool takes it.
		if (name === "operator") await dataDir.write(dataDir.operatorSeed, seed, 0o600, 0);
	}
	return { name, seed, publicKey: fromSeed(new TextEncoder().encode(seed)).getPublicKey() };
}

/** Undefined: there is none, or a crash left something unreadable; a new key is as good. */
async function readStored(path: string): Promise<{ seed: string; url: string } | undefined> {
	try {
		const stored = storedCredentials.parse(JSON.parse(await readFile(path, "utf8")));
		fromSeed(new TextEncoder().encode(stored.seed));
		return stored;
	} catch {
		return undefined;
	}
}

const TOKEN_BYTES = 32;

/** What HTTP clients must show to write; made once. */
export async function readOrMakeHttpToken(dataDir: DataDir): Promise<string> {
	const known = await readFile(dataDir.httpToken, "utf8").catch(() => "");
	if (/^[0-9a-f]{64}\n$/.test(known)) {
		return known.trim();
	}
	const token = randomBytes(TOKEN_BYTES).toString("hex");
	await dataDir.write(dataDir.httpToken, `${token}\n`, 0o600, 0);
	return token;
}
