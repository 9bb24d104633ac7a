import type { Accounts } from "../up/accounts.ts";
import type { DataDir } from "../up/data-dir.ts";
import { publicKeyOf, readOrMakeIdentities, readOrMakeReloader } from "../up/identities.ts";
import { formatListenAddress, reachableOnThisHost } from "../up/listen-address.ts";
import { serverNameOf } from "../up/nats-conf.ts";
import type { NatsUsersOptions } from "../up/nats-users.ts";
import type { OwnCluster, UpPlan } from "../up/options.ts";

export interface Parts {
	readonly plan: UpPlan;
	readonly accounts: Accounts;
	readonly dataDir: DataDir;
}

/** What the nats-server of a compose file is configured by. */
export interface Server extends Omit<NatsUsersOptions, "log"> {
	/** Where this host finds it. */
	readonly url: string;
	/** Who may make it read its configuration anew. */
	readonly reloaderSeed: string;
}

export async function readOrMakeServer(parts: Parts, { natsListen }: OwnCluster): Promise<Server> {
	const { plan, accounts, dataDir } = parts;
	const { hostId } = plan;
	const url = `nats://${formatListenAddress(reachableOnThisHost(natsListen))}`;
	const reloaderSeed = await readOrMakeReloader(dataDir, url);
	return {
		hostId,
		url,
		reloaderSeed,
		reloader: publicKeyOf(reloaderSeed),
		identities: await readOrMakeIdentities(dataDir, accounts, hostId, url, {}),
		serverName: serverNameOf(hostId),
		listen: formatListenAddress(natsListen),
		dataDir,
	};
}
