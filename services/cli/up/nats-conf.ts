import { join } from "node:path";
import type { Permissions } from "./permissions.ts";

export interface NatsUser {
	/** Public nkey, "U…". */
	readonly nkey: string;
	/** Whose it is, for whoever reads the file. */
	readonly name: string;
	readonly permissions: Permissions;
}

export interface NatsConfOptions {
	/** "ADDR:PORT", IPv6 in brackets. */
	readonly listen: string;
	readonly serverName: string;
	readonly users: readonly NatsUser[];
	/** Public nkey of who may tell the server to read its configuration anew; absent: a signal does. */
	readonly reloader?: string | undefined;
	/** Where `tlsFiles` are, from the server's folder: it speaks TLS and nothing else. Absent: it speaks none. */
	readonly tlsFolder?: string | undefined;
}

/** Rules and pages of them come in one message up to this. */
const MAX_PAYLOAD = "4MB";

/**
 * The configuration of the host's own nats-server. The store is relative: the server runs in
 * its folder and may not be able to traverse the folders above (ADR 0022). All users stand
 * in an account; there is no `no_auth_user`, so whoever has no key gets nothing.
 */
export function natsConf(options: NatsConfOptions): string {
	const users = options.users.map(userBlock).join("\n");
	return `# Written by sluice up: changes are lost.
listen: ${quote(options.listen)}
server_name: ${quote(options.serverName)}
max_payload: ${MAX_PAYLOAD}
${options.tlsFolder === undefined ? "" : tlsBlock(options.tlsFolder)}jetstream {
	store_dir: "."
	# An accepted rule survives a power failure.
	sync_interval: always
	max_memory_store: 512MB
	max_file_store: 4GB
}
accounts {
	SLUICE {
		jetstream: enabled
		users: [
${users}
		]
	}${options.reloader === undefined ? "" : systemAccount(options.reloader)}
}
${options.reloader === undefined ? "" : "system_account: SYSTEM\n"}`;
}

/** The server's own subjects: one user, one request (ADR 0098). */
function systemAccount(reloader: string): string {
	const permissions = {
		publish: { allow: [reloadSubject("*")] },
		subscribe: { allow: [`_INBOX.${RELOADER}.>`] },
		allowResponses: false,
	};
	return `
	SYSTEM {
		users: [
${userBlock({ name: RELOADER, nkey: reloader, permissions })}
		]
	}`;
}

export const RELOADER = "reloader";

/** @param server its id. */
export function reloadSubject(server: string): string {
	return `$SYS.REQ.SERVER.${server}.RELOAD`;
}

export const tlsFiles = { certificate: "tls-cert.pem", key: "tls-key.pem" } as const;

function tlsBlock(folder: string): string {
	return `tls {
	cert_file: ${quote(join(folder, tlsFiles.certificate))}
	key_file: ${quote(join(folder, tlsFiles.key))}
	timeout: 5
}
`;
}

/** What the server of the cluster's first host is called. */
export function serverNameOf(hostId: string): string {
	return `sluice-${hostId}`;
}

/** "ADDR:PORT" of a configuration that `natsConf` made; undefined: it made none of that. */
export function listenIn(conf: string): string | undefined {
	return quotedIn(conf, /^listen: (".*")$/m);
}

/** Likewise. */
export function serverNameIn(conf: string): string | undefined {
	return quotedIn(conf, /^server_name: (".*")$/m);
}

function quotedIn(conf: string, line: RegExp): string | undefined {
	const quoted = line.exec(conf)?.[1];
	return quoted === undefined ? undefined : String(JSON.parse(quoted));
}

function userBlock({ nkey, name, permissions }: NatsUser): string {
	const { publish, subscribe, allowResponses } = permissions;
	const lines = [`publish: ${subjects(publish)}`, `subscribe: ${subjects(subscribe)}`];
	if (allowResponses) {
		lines.push('allow_responses: { max: 1, expires: "1m" }');
	}
	const body = lines.map((line) => `\t\t\t\t\t${line}`).join("\n");
	return `\t\t\t# ${name}\n\t\t\t{\n\t\t\t\tnkey: ${nkey}\n\t\t\t\tpermissions: {\n${body}\n\t\t\t\t}\n\t\t\t}`;
}

function subjects({ allow, deny }: { allow?: readonly string[]; deny?: readonly string[] }): string {
	const lists = [];
	if (allow !== undefined) lists.push(`allow: [${allow.map(quote).join(", ")}]`);
	if (deny !== undefined) lists.push(`deny: [${deny.map(quote).join(", ")}]`);
	return `{ ${lists.join(", ")} }`;
}

function quote(text: string): string {
	return JSON.stringify(text);
}
