import { readFile } from "node:fs/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { keepAliveFile } from "@sluice/lib/alive-file";
import { connectNats, readCredentials } from "@sluice/lib/connect";
import { errorText } from "@sluice/lib/errors";
import { createLogger } from "@sluice/lib/log";
import type { Context } from "../context.ts";
import { badValue } from "../failure.ts";
import { DataDir } from "../up/data-dir.ts";
import type { KeeperLog } from "../up/log-stream.ts";
import { RELOADER } from "../up/nats-conf.ts";
import { followIssued } from "../up/nats-users.ts";
import { stopSignals } from "../up/stop-signals.ts";
import { readContainerAccounts } from "./accounts.ts";
import { reload } from "./reload.ts";
import { readOrMakeServer } from "./server.ts";
import { planContainer } from "./settings.ts";
import { ALIVE_FILE } from "./start-line.ts";

const AGAIN_AFTER_MS = 1_000;

/**
 * Tells the nats-server of a compose file of credentials that are issued and revoked, as `up` does; and is where
 * `sluice credentials` is run, by which it must not be taken for an `up` that does not run (ADR 0098).
 */
export async function containerKeys({ flags }: Context): Promise<void> {
	const plan = await planContainer(flags, process.env);
	if (plan.cluster.kind !== "own") throw badValue("container keys", "a cluster of this host's own");
	const facility = createLogger({ service: "credentials", host: plan.hostId }).facility("main");
	const log = {
		info: (msg: string, fields = {}) => facility.info(fields, msg),
		warn: (msg: string, fields = {}) => facility.warn(fields, msg),
		error: (msg: string, fields = {}) => facility.error(fields, msg),
	};
	const accounts = await readContainerAccounts();
	const dataDir = new DataDir(plan.dataDir);
	using signals = stopSignals();
	const lock = await dataDir.lock(log);
	// Who signed the server's certificate, as init left it: the certificate's key is not for here.
	const { ca, serverName } = await readCredentials(dataDir.credentials(RELOADER));
	const server = await readOrMakeServer({ plan, accounts, dataDir }, plan.cluster, { ca, serverName });
	const credentials = { kind: "nkey", seed: server.reloaderSeed, ca, serverName } as const;
	const nc = await connectNats({ url: server.url, credentials, name: RELOADER });
	// What changed while nobody looked.
	await isRead(nc, log);
	const stop = followIssued(
		{ ...server, log },
		{
			conf: await readFile(dataDir.natsConf, "utf8"),
			async take(text) {
				await dataDir.write(dataDir.natsConf, text, 0o640, accounts.nats.gid);
				// A server that is away reads it when it comes; one that is only slow has to be asked again.
				while (!signals.stopping && !(await isRead(nc, log))) await Bun.sleep(AGAIN_AFTER_MS);
			},
		},
	);
	keepAliveFile(ALIVE_FILE, () => !nc.isClosed());
	log.info("ready", { ready: true });
	await signals.stop;
	stop();
	await nc.close();
	lock.release();
}

async function isRead(nc: NatsConnection, log: Pick<KeeperLog, "warn">): Promise<boolean> {
	return await reload(nc).then(
		() => true,
		(error: unknown) => {
			log.warn("credentials are not taken up yet", { error: errorText(error) });
			return false;
		},
	);
}
