import { closeSync, existsSync, openSync } from "node:fs";
import { hostConnectionName } from "@sluice/proto/subjects";
import type { Accounts } from "./accounts.ts";
import type { Child, ChildSpec } from "./child.ts";
import { controlApi, type Home, natsServer, statsAggregator, supervisor } from "./children.ts";
import type { DataDir } from "./data-dir.ts";
import { makeFigures } from "./figures.ts";
import { readHostCredentials } from "./host-credentials.ts";
import { nkeyFile, readOrMakeHttpToken, readOrMakeIdentities } from "./identities.ts";
import { formatListenAddress, reachableOnThisHost } from "./listen-address.ts";
import type { KeeperLog } from "./log-stream.ts";
import { currentNatsConf, followIssued } from "./nats-users.ts";
import type { JoinedCluster, OwnCluster, UpPlan } from "./options.ts";

/** The processes of one `up`. */
export interface Household {
	/** In the order in which they are stopped; those of one step together. */
	readonly steps: readonly (readonly Child[])[];
	/** What the ready line says of where to reach them. */
	readonly where: string;
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
	const natsUrl = `nats://${natsAddress}`;
	const [identities, httpToken] = await Promise.all([
		readOrMakeIdentities(dataDir, accounts, plan.hostId, natsUrl),
		readOrMakeHttpToken(dataDir),
	]);
	const listen = formatListenAddress(cluster.natsListen);
	const users = {
		hostId: plan.hostId,
		serverName: `sluice-${plan.hostId}`,
		listen,
		identities,
		dataDir,
		log,
	};
	const conf = await currentNatsConf(users);
	await dataDir.write(dataDir.natsConf, conf, 0o640, accounts.nats.gid);
	const confFd = openSync(dataDir.natsConf, "r");
	owned.defer(() => closeSync(confFd));
	const kept = existsSync(dataDir.keptRules);
	const nats = adopt(natsServer(plan.hostId, parts.stageDir, kept, accounts.nats, dataDir.nats, confFd));
	owned.defer(followIssued(users, nats, confFd, conf));
	const home = homeOf(parts, natsUrl, nats.ready);
	const api = { account: accounts.api, seed: identities["control-api"].seed, http: cluster.http, httpToken };
	return {
		steps: [
			[adopt(relayOf(home, parts, identities.supervisor.seed, identities.worker.seed))],
			[
				adopt(controlApi(home, api)),
				adopt(statsAggregator(home, accounts.stats, identities["stats-aggregator"].seed)),
			],
			[nats],
		],
		where: `NATS ${natsAddress}, HTTP ${formatListenAddress(cluster.http)}`,
	};
}

async function joinedCluster(parts: HouseholdParts, cluster: JoinedCluster): Promise<Household> {
	const { plan, accounts, dataDir, adopt } = parts;
	const credentials = await readHostCredentials(cluster.credentialsFile, plan.hostId);
	if (credentials.reader !== undefined) {
		// So that `sluice host list` works here as well, and without root for group sluice.
		const reader = nkeyFile(
			hostConnectionName("reader", plan.hostId),
			credentials.reader.seed,
			cluster.natsUrl,
		);
		await dataDir.write(dataDir.credentials("reader"), reader, 0o640, accounts.operatorsGid);
	}
	const home = homeOf(parts, cluster.natsUrl, Promise.resolve());
	return {
		steps: [[adopt(relayOf(home, parts, credentials.supervisor.seed, credentials.worker.seed))]],
		where: `NATS ${cluster.natsUrl}`,
	};
}

function relayOf(
	home: Home,
	{ plan, dataDir, owned }: HouseholdParts,
	seed: string,
	workerSeed: string,
): ChildSpec {
	const { labels, workers, idle, ringLimitBytes } = plan;
	return supervisor(home, {
		seed,
		workerSeed,
		labels,
		workers,
		idle,
		ringLimitBytes,
		keepFile: dataDir.keptRules,
		lockFile: dataDir.relayLock,
		figures: makeFigures(workers, owned),
	});
}

function homeOf(
	{ plan, dataDir, stageDir }: HouseholdParts,
	natsUrl: string,
	natsReady: Promise<void>,
): Home {
	const hasKeptRules = existsSync(dataDir.keptRules);
	return { hostId: plan.hostId, incarnation: String(Date.now()), natsUrl, stageDir, natsReady, hasKeptRules };
}
