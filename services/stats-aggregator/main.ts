import type { NatsConnection } from "@nats-io/transport-node";
import { keepAliveFile } from "@sluice/lib/alive-file";
import { aggregatorConfig, onParentGone, readStartupConfig } from "@sluice/lib/config";
import { connectNats } from "@sluice/lib/connect";
import { errorText } from "@sluice/lib/errors";
import { createLogger, type ServiceLogger } from "@sluice/lib/log";
import { followLogLevels } from "@sluice/lib/log-levels";
import { endpoint, serve } from "@sluice/lib/service";
import { settlesWithin } from "@sluice/lib/settles-within";
import { followRules } from "@sluice/lib/stored-rules";
import {
	type GetStatsRequest,
	GetStatsRequestSchema,
	type GetStatsResponse,
	GetStatsResponseSchema,
} from "@sluice/proto/gen/stats";
import { requests } from "@sluice/proto/subjects";
import { KnownHosts } from "./belongs.ts";
import { type Countable, RuleCatalogue } from "./catalogue.ts";
import { steadyNowMs } from "./clock.ts";
import { CountersDecoder } from "./counters-decoder.ts";
import { emptyFold, type Fold, foldChunk } from "./fold.ts";
import { type CountersListener, followCounters } from "./follow-counters.ts";
import { followHosts } from "./follow-hosts.ts";
import { FigureKeeper } from "./keep-figures.ts";
import { getStats } from "./page.ts";
import { publishEachSecond } from "./publish-each-second.ts";
import { serveFigures } from "./serve-figures.ts";
import { VERSION } from "./version.ts";
import { recordsBeginAnew, unheardWorkers, WARM_UP_MS } from "./warm-up.ts";

const SERVICE = "stats-aggregator";
const WARM_UP_POLL_MS = 20;
const DRAIN_LIMIT_MS = 1000;
/** 10,000 rules with 16 outputs, of two hosts, take a second; `up` waits for 5, a container's engine for 10. */
const KEEP_LIMIT_MS = 3500;
/** A broken or hostile publisher must not fill the log. */
const REFUSAL_LOG_EVERY_MS = 10_000;

async function main(): Promise<void> {
	const config = await readStartupConfig(aggregatorConfig);
	const logger = createLogger({ service: SERVICE, host: config.hostId, level: config.logLevel });
	const followers: (() => void)[] = [];
	let keepFigures = async () => {};
	let connection: NatsConnection | undefined;
	const { stop, isStopping } = stopOnce(
		() => connection,
		followers,
		() => keepFigures(),
	);
	// Before anything is waited for: process 1 of a container ends on no signal that it does not handle.
	process.on("SIGTERM", stop);
	process.on("SIGINT", stop);
	onParentGone(stop);
	const tell = (why: string) => logger.facility("nats").error(why);
	const nc = await connectNats({
		url: config.natsUrl,
		credentials: config.credentials,
		name: SERVICE,
		beat: config.hostId,
		onRefused: tell,
		onUntrusted: tell,
	});
	connection = nc;
	// It reconnects for ever, so that a closed connection cannot be mended from inside.
	void nc.closed().then(() => isStopping() || process.exit(1));

	const own = config.startsWithRelay ? config : undefined;
	const fold = emptyFold(own?.hostId);
	const knownHosts = new KnownHosts();
	const keeper = new FigureKeeper(nc, fold, knownHosts, logger);
	await keeper.read();
	const onTrouble = (message: string) => logger.facility("nats").warn(message);
	// Before the counters, which are measured by them.
	const hosts = await followHosts(nc, fold, knownHosts, keeper, onTrouble);
	let countable: () => Countable = () => undefined;
	const decoder = new CountersDecoder(() => countable());
	const feed = followCounters(nc, countersListener(fold, knownHosts, decoder, logger));
	const [rules, stopLogLevels] = await Promise.all([
		followRules(nc, { onTrouble }),
		followLogLevels(nc, logger),
		feed.initial,
	]);
	followers.push(
		() => rules.stop(),
		() => hosts.stop(),
		stopLogLevels,
		() => feed.stop(),
	);

	const catalogue = new RuleCatalogue(rules);
	countable = () => catalogue.countable;
	keepFigures = () => keepLast(keeper, logger);
	const isWarm = warmUp(
		logger,
		() => unheardWorkers(fold, hosts.entries.values(), own, Date.now()),
		() => recordsBeginAnew(rules.stream.created, hosts.stream.created, Date.now()),
	);
	await serveQueries(nc, logger, isStopping, async (request) => {
		// Soon after the start an answer takes up to WARM_UP_MS: better than none, or one that steps back.
		while (!isWarm()) await Bun.sleep(WARM_UP_POLL_MS);
		return getStats(fold, catalogue.rules, request, steadyNowMs());
	});
	// Both look each second: in the same wake-up.
	keeper.start(
		config.hostId,
		() => {
			const keys = catalogue.countable;
			return (uid) => keys?.has(uid) !== false;
		},
		(host) => decoder.forget(host),
	);
	await serveFigures(nc, keeper, () => catalogue.stored, logger);
	publishEachSecond(config.hostId, nc, logger, fold, () => (isWarm() ? catalogue.rules : []));
	keepAliveFile(config.aliveFile, () => rules.current && hosts.current);
	logger.facility("main").info({ ready: true }, "ready");
}

/** Before the process leaves. */
async function keepLast(keeper: FigureKeeper, logger: ServiceLogger): Promise<void> {
	await settlesWithin(keeper.stop(), KEEP_LIMIT_MS);
	const { unkept } = keeper;
	if (unkept === 0) return;
	const line = "figures were not kept in time: totals lack them if their hosts begin anew";
	logger.facility("fold").warn({ figures: unkept }, line);
}

/** Folds what comes; what is malformed is dropped with one line per interval. */
function countersListener(
	fold: Fold,
	hosts: KnownHosts,
	decoder: CountersDecoder,
	logger: ServiceLogger,
): CountersListener {
	const log = logger.facility("fold");
	let refusedSinceLine = 0;
	let lastLineAt = Number.NEGATIVE_INFINITY;
	return {
		onMessage(subject, payload, atMs) {
			const strange = hosts.strangeWorker(subject);
			const decoded = strange === undefined ? decoder.decode(subject, payload) : { refused: strange };
			const refused = "chunk" in decoded ? hosts.strangeIncarnation(decoded.chunk) : decoded.refused;
			if ("chunk" in decoded && refused === undefined) {
				const { host, worker, sequence, chunk } = decoded.chunk;
				const outcome = foldChunk(fold, decoded.chunk, atMs);
				// `host` is ours, in every line.
				log.debug({ relay: host, worker, sequence: String(sequence), chunk, outcome }, "counters");
				if (outcome === "started-over") {
					log.warn({ relay: host, worker }, "the worker's counters began anew");
				}
				return;
			}
			refusedSinceLine += 1;
			if (performance.now() - lastLineAt >= REFUSAL_LOG_EVERY_MS) {
				log.warn({ subject, reason: refused, count: refusedSinceLine }, "counters refused");
				lastLineAt = performance.now();
				refusedSinceLine = 0;
			}
		},
		onTrouble: (message) => log.warn(message),
	};
}

/** Tells whether figures are whole; once they are, or could be waited for no longer, they stay so. */
function warmUp(logger: ServiceLogger, unheard: () => string[], anew: () => boolean): () => boolean {
	const log = logger.facility("fold");
	const startedAt = performance.now();
	let warm = false;
	return () => {
		if (warm) {
			return true;
		}
		const missing = unheard();
		const waitedMs = Math.round(performance.now() - startedAt);
		if ((missing.length > 0 || anew()) && waitedMs < WARM_UP_MS) {
			return false;
		}
		warm = true;
		if (missing.length > 0) {
			log.warn({ workers: missing }, "these workers were not heard: their counters are missing");
		}
		log.debug({ waitedMs }, "figures are whole");
		return true;
	};
}

async function serveQueries(
	nc: NatsConnection,
	logger: ServiceLogger,
	isStopping: () => boolean,
	handle: (request: GetStatsRequest) => Promise<GetStatsResponse>,
): Promise<void> {
	const log = logger.facility("query");
	const service = await serve(nc, {
		name: `sluice-${SERVICE}`,
		version: VERSION,
		description: "figures per rule, host and interface",
		// The names of all the rules that one request may ask for.
		requestLimitBytes: 1024 * 1024,
		endpoints: [
			endpoint({
				name: "stats-get",
				subject: requests.statsGet,
				request: GetStatsRequestSchema,
				response: GetStatsResponseSchema,
				handle,
			}),
		],
		onRequest: ({ subject, json, durationMs, error }) =>
			log.debug({ subject, json, durationMs, error: error?.message }, "request"),
	});
	void service.ended.then((reason) => {
		if (reason !== null && !isStopping()) {
			// Without its endpoint the process is of no use; the parent starts another.
			log.error({ error: errorText(reason) }, "the endpoint ended");
			process.exit(1);
		}
	});
}

/** `stop` leaves once: what is queued is sent, then the process ends. */
function stopOnce(
	connection: () => NatsConnection | undefined,
	followers: readonly (() => void)[],
	lastWork: () => Promise<void>,
): { readonly stop: () => void; readonly isStopping: () => boolean } {
	let stopping = false;
	const exit = () => process.exit(0);
	return {
		isStopping: () => stopping,
		stop() {
			if (stopping) return;
			stopping = true;
			for (const stopFollower of followers) stopFollower();
			const drain = () => {
				const nc = connection();
				if (nc === undefined) return exit();
				// A server that is gone cannot be drained to.
				setTimeout(exit, DRAIN_LIMIT_MS);
				void nc.drain().then(exit, exit);
			};
			void lastWork().then(drain, drain);
		},
	};
}

main().catch((thrown) => {
	const logger = createLogger({ service: SERVICE });
	logger.facility("main").error({ error: errorText(thrown) }, "cannot start");
	process.exit(1);
});
