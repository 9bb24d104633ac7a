import { type Accounts, findGroup, findUser, readAccounts } from "../up/accounts.ts";
import { RELAY_CREDENTIALS } from "./start-line.ts";

export interface ContainerAccounts extends Accounts {
	/** May read the keys of the host's supervisor and workers. */
	readonly relayGid: number;
}

/**
 * Those of the image. Files are a user's own who may do nothing else. Each service reads its own key itself, since no
 * process hands it to it. control-api reads the operator's too, so that commands work in its container: it answers all
 * that an operator can ask, and gains nothing.
 */
export async function readContainerAccounts(): Promise<ContainerAccounts> {
	const accounts = await readAccounts();
	const { api, stats, readers } = accounts;
	const relayGid = await findGroup("sluice-relay");
	return {
		...accounts,
		owner: await findUser("sluice-keys"),
		relayGid,
		readers: {
			...readers,
			"control-api": api.gid,
			operator: api.gid,
			"stats-aggregator": stats.gid,
			[RELAY_CREDENTIALS]: relayGid,
		},
	};
}
