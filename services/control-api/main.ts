import { keepAliveFile } from "@sluice/lib/alive-file";
import { onParentGone, readStartupConfig } from "@sluice/lib/config";
import { connectNats } from "@sluice/lib/connect";
import { errorText } from "@sluice/lib/errors";
import { createLogger } from "@sluice/lib/log";
import { settlesWithin } from "@sluice/lib/settles-within";
import { controlApiConfig } from "./config.ts";
import { startControlApi } from "./control-api.ts";
import { startHttp } from "./http/server.ts";

const STOP_LIMIT_MS = 5_000;
const AWAY_LIMIT_MS = 1_000;

const config = await readStartupConfig(controlApiConfig).catch((thrown: unknown) => {
	createLogger({ service: "control-api" }).facility("main").fatal(errorText(thrown));
	process.exit(1);
});
const logger = createLogger({ service: config.service, host: config.hostId, level: config.logLevel });
const log = logger.facility("main");

function fail(reason: unknown): never {
	log.fatal(
		{ err: reason instanceof Error && reason.cause instanceof Error ? reason.cause : undefined },
		errorText(reason),
	);
	process.exit(1);
}

async function run(): Promise<void> {
	let stopping = false;
	/** What is to be finished first; before it serves, nothing is. */
	let finish: () => Promise<unknown> = async () => {};
	const stop = (reason: string) => {
		if (stopping) return;
		stopping = true;
		log.info({ reason }, "stopping");
		setTimeout(() => fail(new Error(`not stopped after ${STOP_LIMIT_MS} ms`)), STOP_LIMIT_MS).unref();
		void finish().then(() => process.exit(0), fail);
	};
	// Before anything is waited for: process 1 of a container ends on no signal that it does not handle.
	process.on("SIGTERM", () => stop("SIGTERM"));
	process.on("SIGINT", () => stop("SIGINT"));
	onParentGone(() => stop("the parent is gone"));
	const nc = await connectNats({
		url: config.natsUrl,
		credentials: config.credentials,
		name: "control-api",
		beat: config.hostId,
		onRefused: (why) => log.error(why),
		onUntrusted: (why) => log.error(why),
	});
	const api = await startControlApi(nc, logger, { clusterId: config.clusterId });
	const http = startHttp(nc, api, config, logger);
	finish = async () => {
		await http.stop();
		const limitMs = api.current ? STOP_LIMIT_MS : AWAY_LIMIT_MS;
		// A server that is gone cannot be drained to.
		await settlesWithin(
			api.stop().then(() => nc.drain().catch(() => {})),
			limitMs,
		);
	};
	// A refused subscription or a closed connection cannot be mended from inside.
	void api.ended.then((reason) => stopping || fail(reason ?? new Error("the service ended by itself")));
	void nc.closed().then((reason) => stopping || fail(reason ?? new Error("the connection to NATS closed")));
	keepAliveFile(config.aliveFile, () => api.current);
	log.info({ ready: true, http: http.url, cluster: api.clusterId, rules: api.book.entries.size }, "ready");
}

await run().catch(fail);
