import { readFile } from "node:fs/promises";
import type { Context } from "../context.ts";
import { type Accounts, readAccounts } from "../up/accounts.ts";
import { checkCluster } from "../up/check-cluster.ts";
import { DataDir } from "../up/data-dir.ts";
import { type HostCredentials, readHostCredentials } from "../up/host-credentials.ts";
import { readOrMakeHttpToken, readOrMakeInstallation } from "../up/identities.ts";
import { joinedText, refuseOwnCluster } from "../up/joined.ts";
import { currentNatsConf } from "../up/nats-users.ts";
import type { JoinedCluster, OwnCluster } from "../up/options.ts";
import { identityNames } from "../up/permissions.ts";
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
	const accounts = containerAccounts(await readAccounts());
	const dataDir = new DataDir(plan.dataDir);
	await dataDir.prepare(accounts);
	const parts = { plan, accounts, dataDir };
	const { cluster } = plan;
	const where =
		cluster.kind === "own" ? await ownCluster(parts, cluster) : await joinedCluster(parts, cluster);
	await readOrMakeInstallation(dataDir);
	await terminal.write(`ready for host ${plan.hostId}: ${where}\n`);
}

/**
 * Each service reads its own key itself, since no process hands it to it. control-api reads the operator's too,
 * so that commands work in its container: it answers all that an operator can ask, and gains nothing.
 */
export function containerAccounts(accounts: Accounts): Accounts {
	const { api, stats, readers } = accounts;
	return {
		...accounts,
		readers: { ...readers, "control-api": api.gid, operator: api.gid, "stats-aggregator": stats.gid },
	};
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
	await dataDir.writeNatsTls(tls, accounts.nats.gid);
	const server = await readOrMakeServer(parts, cluster, trust);
	for (const name of identityNames) {
		const gid = accounts.readers[name];
		if (gid !== undefined) await dataDir.letRead(dataDir.credentials(name), gid);
	}
	await readOrMakeHttpToken(dataDir);
	await dataDir.letRead(dataDir.httpToken, accounts.api.gid);
	const conf = await currentNatsConf({ ...server, log: onStandardError });
	await replace(dataDir, dataDir.natsConf, conf, 0o640, accounts.nats.gid);
	const { supervisor, worker, reader } = server.identities;
	await writeRelay(dataDir, {
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

async function joinedCluster({ plan, accounts, dataDir }: Parts, cluster: JoinedCluster): Promise<string> {
	const { natsUrl: url, credentialsFile } = cluster;
	// A secret of a compose file has the owner and mode of a file in somebody's checkout.
	const credentials = await readHostCredentials(credentialsFile, plan.hostId, onStandardError.warn);
	const { ca, serverName } = credentials;
	const supervisor = { kind: "nkey", seed: credentials.supervisor.seed, ca, serverName } as const;
	await checkCluster({ plan, dataDir, log: onStandardError }, url, supervisor);
	await replace(dataDir, dataDir.joined, joinedText(credentials, url), 0o640, accounts.operatorsGid);
	await writeRelay(dataDir, { ...credentials, url });
	return `joins ${url}`;
}

async function writeRelay(dataDir: DataDir, credentials: HostCredentials): Promise<void> {
	const seedOf = ({ seed }: { readonly seed: string }) => ({ seed });
	const { supervisor, worker, reader } = credentials;
	const keys = { supervisor: seedOf(supervisor), worker: seedOf(worker), reader: seedOf(reader) };
	const text = JSON.stringify({ ...credentials, ...keys }, null, "\t");
	await replace(dataDir, dataDir.credentials(RELAY_CREDENTIALS), `${text}\n`, 0o600, 0);
}

/** What did not change keeps its time, and who watches it its peace. */
async function replace(
	dataDir: DataDir,
	path: string,
	text: string,
	mode: number,
	gid: number,
): Promise<void> {
	if ((await readFile(path, "utf8").catch(() => "")) !== text) await dataDir.write(path, text, mode, gid);
}
