import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type HostCredentials, hostCredentials } from "../up/host-credentials.ts";
import { nkeyCredentialsFile, publicKeyOf } from "../up/identities.ts";
import type { NatsUser } from "../up/nats-conf.ts";
import { permissionsOf, type Role } from "../up/permissions.ts";

/** What `sluice credentials` makes keys for. */
export const issuedKinds = ["host", "orchestrator"] as const;
export type IssuedKind = (typeof issuedKinds)[number];

/** Credentials that were issued; they hold as long as their file lies in the data directory. */
export interface Issued {
	readonly kind: IssuedKind;
	readonly name: string;
	/** Absolute. */
	readonly path: string;
}

const FILE = /^(host|orchestrator)-([a-z0-9][a-z0-9-]{0,62})\.json$/;

export function issuedFileName(kind: IssuedKind, name: string): string {
	return `${kind}-${name}.json`;
}

/** Who an orchestrator's file says it is; names its connections. */
export function orchestratorIdentity(name: string): string {
	return `orchestrator-${name}`;
}

/** In the order of their file names. */
export async function listIssued(folder: string): Promise<Issued[]> {
	const names = (await readdir(folder)).sort();
	return names.flatMap((file) => {
		const [, kind, name] = FILE.exec(file) ?? [];
		if (kind === undefined || name === undefined) return [];
		return [{ kind: kind as IssuedKind, name, path: join(folder, file) }];
	});
}

/**
 * What the server is to know of them. A file that cannot be used is nobody's key, and told.
 * @param taken public keys that stand in the configuration already: the server refuses to start with one twice.
 */
export async function issuedUsers(
	folder: string,
	taken: readonly string[],
	onUnusable: (path: string) => void,
): Promise<NatsUser[]> {
	const known = new Set(taken);
	const users: NatsUser[] = [];
	for (const issued of await listIssued(folder)) {
		const own = await usersOf(issued).catch(() => []);
		const fresh = own.filter(({ nkey }) => !known.has(nkey));
		if (own.length === 0 || fresh.length < own.length) onUnusable(issued.path);
		for (const { nkey } of fresh) known.add(nkey);
		users.push(...fresh);
	}
	return users;
}

/** @throws when it is no file of that kind and name. */
async function usersOf(issued: Issued): Promise<NatsUser[]> {
	const { kind, name } = issued;
	if (kind === "orchestrator") {
		return [user("orchestrator", name, (await readOrchestrator(issued)).seed)];
	}
	const { supervisor, worker, reader } = await readIssuedHost(issued);
	return [
		user("supervisor", name, supervisor.seed),
		user("worker", name, worker.seed),
		user("reader", name, reader.seed),
	];
}

/** @throws when the file cannot be used. */
export async function publicKeysOf(issued: Issued): Promise<string[]> {
	return (await usersOf(issued)).map(({ nkey }) => nkey);
}

function user(role: Role, name: string, seed: string): NatsUser {
	return { name: `${role} ${name}`, nkey: publicKeyOf(seed), permissions: permissionsOf(role, name) };
}

/** @throws when the file is not the host's. */
export async function readIssuedHost({ name, path }: Omit<Issued, "kind">): Promise<HostCredentials> {
	const credentials = hostCredentials.parse(JSON.parse(await readFile(path, "utf8")));
	if (credentials.host !== name) throw new Error(`${path} is for host ${credentials.host}`);
	return credentials;
}

/** @throws when the file is not the orchestrator's. */
export async function readOrchestrator({ name, path }: Omit<Issued, "kind">) {
	const credentials = nkeyCredentialsFile.parse(JSON.parse(await readFile(path, "utf8")));
	if (credentials.name !== orchestratorIdentity(name)) throw new Error(`${path} is for ${credentials.name}`);
	return credentials;
}
