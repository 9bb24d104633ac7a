import { closeSync, existsSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { ServerTrust } from "@sluice/lib/config";
import { errorText } from "@sluice/lib/errors";
import type { Accounts } from "./accounts.ts";
import { checkCluster } from "./check-cluster.ts";
import type { Child, ChildSpec } from "./child.ts";
import { controlApi, type Home, natsServer, statsAggregator, supervisor } from "./children.ts";
import type { DataDir } from "./data-dir.ts";
import { makeFigures } from "./figures.ts";
import { followCertificate } from "./follow-certificate.ts";
import { readHostCredentials } from "./host-credentials.ts";
import { readOrMakeHttpToken, readOrMakeIdentities, readOrMakeInstallation } from "./identities.ts";
import { nextIncarnation } from "./incarnation.ts";
import { hasJoined, joinedText } from "./joined.ts";
import { formatListenAddress, reachableOnThisHost } from "./listen-address.ts";
import type { KeeperLog } from "./log-stream.ts";
import { serverNameOf } from "./nats-conf.ts";
import { readNatsTls } from "./nats-tls.ts";
import { currentNatsConf, followIssued, signalled } from "./nats-users.ts";
import type { JoinedCluster, OwnCluster, UpPlan } from "./options.ts";
import { restartWhenWritable } from "./restart-when-writable.ts";

/** The processes of one `up`. */
export interface Household {
	/** In the order in which they are stopped; those of one step together. */
	readonly steps: readonly (readonly Child[])[];
	/** What the ready line says of where to reach them. */
	readonly where: string;
	/** Why the cluster could not be joined at once. */
	readonly waitsSince?: string;
	readonly onServing?: () => Promise<void>;
	/** From now on nothing is to be started. */
	readonly onStopping?: () => void;
	/** An `up` that was refused leaves nothing. */
	readonly onRefused?: () => Promise<void>;
}

export interface HouseholdParts {
	readonly plan: UpPlan;
	readonly accounts: Accounts;
	readonly dataDir: DataDir;
	readonly stageDir: string;
	readonly adopt: (spec: ChildSpec) => Child;
	readonly log: KeeperLog;
	/** Takes care of what must be closed when everything has stopped. */
	readonly owned: DisposableStack;
}

export function makeHousehold(parts: HouseholdParts): Promise<Household> {
	const { cluster } = parts.plan;
	return cluster.kind === "own" ? ownCluster(parts, cluster) : joinedCluster(parts, cluster);
}

async function ownCluster(parts: HouseholdParts, cluster: OwnCluster): Promise<Household> {
	const { plan, accounts, dataDir, adopt, log, owned } = parts;
	const natsAddress = formatListenAddress(reachableOnThisHost(cluster.natsListen));
	const tls = cluster.natsTls && (await readNatsTls(cluster.natsTls));
	const trust = tls?.trust ?? {};
	const natsUrl = `${tls === undefined ? "nats" : "tls"}://${natsAddress}`;
	await dataDir.writeNatsTls(tls, accounts.nats.gid);
	const [identities, httpToken, installation] = await Promise.all([
		readOrMakeIdentities(dataDir, accounts, plan.hostId, natsUrl, trust),
		readOrMakeHttpToken(dataDir),
		readOrMakeInstallation(dataDir),
	]);
	const listen = formatListenAddress(cluster.natsListen);
	const users = {
		hostId: plan.hostId,
		serverName: serverNameOf(plan.hostId),
		listen,
		tlsFolder: tls && ".",
		identities,
		dataDir,
		log,
	};
	const conf = await currentNatsConf(users);
	await dataDir.write(dataDir.natsConf, conf, 0o640, accounts.nats.gid);
	const confFd = openSync(dataDir.natsConf, "r");
	owned.defer(() => closeSync(confFd));
	const kept = existsSync(dataDir.keptRules);
	const server = natsServer(plan.hostId, parts.stageDir, kept, accounts.nats, dataDir.nats, confFd);
	const writes = restartWhenWritable(() => nats, dataDir, log);
	const nats: Child = adopt({ ...server, onRecord: writes.see });
	owned.defer(followIssued(users, signalled(nats, confFd, conf)));
	if (cluster.natsTls !== undefined && tls !== undefined)
		owned.defer(followCertificate(cluster.natsTls, tls, nats, dataDir, accounts.nats.gid, log));
	const home = await homeOf(parts, natsUrl, trust, nats.ready);
	const api = { account: accounts.api, seed: identities["control-api"].seed, http: cluster.http, httpToken };
	return {
		steps: [
			[
				adopt(
					relayOf(home, parts, installation, {
						supervisor: identities.supervisor,
						worker: identities.worker,
					}),
				),
			],
			[
				adopt(controlApi(home, api)),
				adopt(statsAggregator(home, accounts.stats, identities["stats-aggregator"].seed)),
			],
			[nats],
		],
		where: `NATS ${natsAddress}, HTTP ${formatListenAddress(cluster.http)}`,
		onStopping: writes.end,
	};
}

async function joinedCluster(parts: HouseholdParts, cluster: JoinedCluster): Promise<Household> {
	const { plan, accounts, dataDir, adopt, log } = parts;
	const credentials = await readHostCredentials(cluster.credentialsFile, plan.hostId);
	const { ca, serverName } = credentials;
	const trust: ServerTrust = { ca, serverName };
	const waitsSince = await checkCluster(parts, cluster.natsUrl, {
		kind: "nkey",
		seed: credentials.supervisor.seed,
		...trust,
	});
	const home = await homeOf(parts, cluster.natsUrl, trust, Promise.resolve());
	const relay = adopt(relayOf(home, parts, await readOrMakeInstallation(dataDir), credentials));
	// So that `sluice host list` works here as well, and without root for group sluice.
	const joined = joinedText(credentials, cluster.natsUrl, flagsOf(cluster));
	const mark = () =>
		dataDir
			.write(dataDir.joined, joined, 0o640, accounts.operatorsGid)
			// A full disk keeps nobody from relaying.
			.catch((thrown) => log.warn(`${dataDir.joined} is missing, or an old one: ${errorText(thrown)}`));
	// Rules that are kept where no cluster of its own ever ran are those of one that it joined.
	const isLetIn = waitsSince === undefined || !existsSync(dataDir.natsConf);
	const isFirst = isLetIn && !(await hasJoined(dataDir));
	// Before it serves: whatever ends it meanwhile, the next `up` knows.
	if (isFirst) await mark();
	return {
		steps: [[relay]],
		where: `NATS ${cluster.natsUrl}`,
		onServing: mark,
		...(isFirst ? { onRefused: () => rm(dataDir.joined, { force: true }).catch(() => {}) } : {}),
		...(waitsSince === undefined ? {} : { waitsSince }),
	};
}

/** What joins again, as a shell takes it. */
function flagsOf({ credentialsFile, natsUrl, urlOfFile }: JoinedCluster): string {
	const file = `--credentials ${shellWord(credentialsFile)}`;
	return urlOfFile ? file : `--nats ${shellWord(natsUrl)} ${file}`;
}

function shellWord(text: string): string {
	return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function relayOf(
	home: Home,
	{ plan, dataDir, owned }: HouseholdParts,
	installation: string,
	keys: Readonly<Record<"supervisor" | "worker", { readonly seed: string }>>,
): ChildSpec {
	return supervisor(home, {
		seed: keys.supervisor.seed,
		workerSeed: keys.worker.seed,
		installation,
		relay: plan,
		keepFile: dataDir.keptRules,
		lockFile: dataDir.relayLock,
		figures: makeFigures(plan.workers, owned),
	});
}

async function homeOf(
	{ plan, dataDir, stageDir, log }: HouseholdParts,
	natsUrl: string,
	trust: ServerTrust,
	natsReady: Promise<void>,
): Promise<Home> {
	const hasKeptRules = existsSync(dataDir.keptRules);
	const incarnation = String(await nextIncarnation(dataDir, log));
	return { hostId: plan.hostId, incarnation, natsUrl, trust, stageDir, natsReady, hasKeptRules };
}
