import type { ServerTrust } from "@sluice/lib/config";
import type { DataDir } from "../up/data-dir.ts";
import { publicKeyOf, readOrMakeIdentities, readOrMakeReloader } from "../up/identities.ts";
import { formatListenAddress, reachableOnThisHost } from "../up/listen-address.ts";
import { serverNameOf } from "../up/nats-conf.ts";
import type { NatsUsersOptions } from "../up/nats-users.ts";
import type { OwnCluster, UpPlan } from "../up/options.ts";
import type { ContainerAccounts } from "./accounts.ts";

export interface Parts {
	readonly plan: UpPlan;
	readonly accounts: ContainerAccounts;
	readonly dataDir: DataDir;
}

/** What the nats-server of a compose file is configured by. */
export interface Server extends Omit<NatsUsersOptions, "log"> {
	/** Where this host finds it. */
	readonly url: string;
	/** Who may make it read its configuration anew. */
	readonly reloaderSeed: string;
}

/** @param trust by what its TLS is known; empty: it speaks none. */
export async function readOrMakeServer(
	parts: Parts,
	{ natsListen }: OwnCluster,
	trust: ServerTrust,
): Promise<Server> {
	const { plan, accounts, dataDir } = parts;
	const { hostId } = plan;
	const tls = trust.ca !== undefined;
	const url = `${tls ? "tls" : "nats"}://${formatListenAddress(reachableOnThisHost(natsListen))}`;
	const reloaderSeed = await readOrMakeReloader(dataDir, { url, ...trust });
	return {
		hostId,
		url,
		reloaderSeed,
		reloader: publicKeyOf(reloaderSeed),
		identities: await readOrMakeIdentities(dataDir, accounts, hostId, url, trust),
		serverName: serverNameOf(hostId),
		listen: formatListenAddress(natsListen),
		tlsFolder: tls ? ".." : undefined,
		dataDir,
	};
}
