import { readFile } from "node:fs/promises";
import type { Context } from "../context.ts";
import { checkCluster } from "../up/check-cluster.ts";
import { DataDir } from "../up/data-dir.ts";
import { type HostCredentials, readHostCredentials } from "../up/host-credentials.ts";
import { readOrMakeHttpToken, readOrMakeInstallation } from "../up/identities.ts";
import { joinedText, refuseOwnCluster } from "../up/joined.ts";
import { currentNatsConf } from "../up/nats-users.ts";
import type { JoinedCluster, OwnCluster } from "../up/options.ts";
import { identityNames } from "../up/permissions.ts";
import { readContainerAccounts } from "./accounts.ts";
import { refuseForeign } from "./owners.ts";
import { type Parts, readOrMakeServer } from "./server.ts";
import { planContainer } from "./settings.ts";
import { RELAY_CREDENTIALS } from "./start-line.ts";
import { readContainerTls } from "./tls.ts";

/**
 * Makes what the services of a compose file find in their volume: keys, nats-server's configuration, the token of
 * the HTTP API. What is there already stays, so that it may run before each start (ADR 0095).
 */
export async function containerInit({ flags, terminal }: Context): Promise<void> {
	const plan = await planContainer(flags, process.env);
	const accounts = await readContainerAccounts();
	const dataDir = new DataDir(plan.dataDir);
	const { cluster } = plan;
	await refuseForeign(dataDir, accounts, cluster.kind);
	await dataDir.prepare(accounts);
	const parts = { plan, accounts, dataDir };
	const where =
		cluster.kind === "own"
			? await dataDir.changingCredentials(() => ownCluster(parts, cluster))
			: await joinedCluster(parts, cluster);
	await readOrMakeInstallation(dataDir);
	await dataDir.letRead(dataDir.installation, accounts.relayGid);
	await terminal.write(`ready for host ${plan.hostId}: ${where}\n`);
}

const onStandardError = {
	warn: (msg: string, fields: Record<string, unknown> = {}) =>
		console.error(`sluice: ${[msg, ...Object.values(fields)].join(" ")}`),
};

async function ownCluster(parts: Parts, cluster: OwnCluster): Promise<string> {
	const { plan, accounts, dataDir } = parts;
	const { hostId } = plan;
	await refuseOwnCluster(dataDir, "start it with compose.relay.yaml");
	const tls = await readContainerTls(process.env);
	const trust = tls?.trust ?? {};
	// Beside nats.conf: nats-server's own folder is its alone.
	await dataDir.writeNatsTls(tls, accounts.nats.gid, dataDir.path);
	const server = await readOrMakeServer(parts, cluster, trust);
	for (const name of identityNames) {
		const gid = accounts.readers[name];
		if (gid !== undefined) await dataDir.letRead(dataDir.credentials(name), gid);
	}
	await readOrMakeHttpToken(dataDir);
	await dataDir.letRead(dataDir.httpToken, accounts.api.gid);
	const conf = await currentNatsConf({ ...server, log: onStandardError });
	await replace(dataDir, dataDir.natsConf, conf, accounts.nats.gid);
	const { supervisor, worker, reader } = server.identities;
	await writeRelay(parts, {
		kind: "host",
		host: hostId,
		url: server.url,
		...trust,
		supervisor,
		worker,
		reader,
	});
	return `its own cluster, NATS ${server.listen}${tls === undefined ? "" : " with TLS"}`;
}

async function joinedCluster(parts: Parts, cluster: JoinedCluster): Promise<string> {
	const { plan, accounts, dataDir } = parts;
	const { natsUrl: url, credentialsFile } = cluster;
	// A secret of a compose file has the owner and mode of a file in somebody's checkout.
	const credentials = await readHostCredentials(credentialsFile, plan.hostId, onStandardError.warn);
	const { ca, serverName } = credentials;
	const supervisor = { kind: "nkey", seed: credentials.supervisor.seed, ca, serverName } as const;
	await checkCluster({ plan, dataDir, log: onStandardError }, url, supervisor);
	await replace(dataDir, dataDir.joined, joinedText(credentials, url), accounts.operatorsGid);
	await writeRelay(parts, { ...credentials, url });
	return `joins ${url}`;
}

async function writeRelay({ dataDir, accounts }: Parts, credentials: HostCredentials): Promise<void> {
	const seedOf = ({ seed }: { readonly seed: string }) => ({ seed });
	const { supervisor, worker, reader } = credentials;
	const keys = { supervisor: seedOf(supervisor), worker: seedOf(worker), reader: seedOf(reader) };
	const text = JSON.stringify({ ...credentials, ...keys }, null, "\t");
	await replace(dataDir, dataDir.credentials(RELAY_CREDENTIALS), `${text}\n`, accounts.relayGid);
}

/** What did not change keeps its time, and who watches it its peace. */
async function replace(dataDir: DataDir, path: string, text: string, gid: number): Promise<void> {
	if ((await readFile(path, "utf8").catch(() => "")) === text) await dataDir.letRead(path, gid);
	else await dataDir.write(path, text, 0o640, gid);
}
