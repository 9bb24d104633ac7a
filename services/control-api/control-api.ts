import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { EventPublisher, sayDropped } from "@sluice/lib/event-publisher";
import { followHostRecords } from "@sluice/lib/host-records";
import { followBucket } from "@sluice/lib/kv-snapshot";
import type { ServiceLogger } from "@sluice/lib/log";
import { keepLogLevels } from "@sluice/lib/log-levels";
import { type RequestRecord, serve } from "@sluice/lib/service";
import { followRules } from "@sluice/lib/stored-rules";
import { LogLevelsSchema } from "@sluice/proto/gen/log";
import { buckets, settingKeys } from "@sluice/proto/subjects";
import type { Logger } from "pino";
import { hostEvents } from "./events/host-events.ts";
import { ruleEvents } from "./events/rule-events.ts";
import { Forgetting } from "./hosts/forgetting.ts";
import { HostView } from "./hosts/host-view.ts";
import { HostPresence } from "./hosts/presence.ts";
import { Recovery } from "./hosts/recovery.ts";
import { WorkerRestart } from "./hosts/worker-restart.ts";
import { ConnectionWatch } from "./nats/connection-watch.ts";
import { type ControlApi, endpoints } from "./nats/endpoints.ts";
import { RuleBatches } from "./nats/rule-batches.ts";
import { RuleLog } from "./nats/rule-log.ts";
import {
	checkServer,
	keepStorage,
	knowsBatches,
	openStorage,
	rulesSequence,
	sweepRules,
} from "./nats/storage.ts";
import { RuleBook } from "./rules/rule-book.ts";
import { RuleWriter } from "./rules/rule-writer.ts";
import { Rules } from "./rules/rules.ts";
import { Sweeping, type SweepLimits } from "./rules/sweeping.ts";
import { Uploads } from "./rules/uploads.ts";
import { LogLevelSettings } from "./settings/log-level-setting.ts";
import { VERSION } from "./version.ts";

export interface RunningControlApi extends ControlApi {
	readonly book: RuleBook;
	readonly presence: HostPresence;
	readonly clusterId: string;
	/** False while what is known may be out of date. */
	readonly current: boolean;
	/** Resolves when it can no longer serve, with the reason. */
	readonly ended: Promise<Error | null>;
	/** Takes nothing new and finishes what is under way. */
	stop(): Promise<void>;
}

export interface ControlApiOptions {
	readonly clusterId?: string | undefined;
	/** When what is left of removed rules goes. */
	readonly sweep?: Partial<SweepLimits> | undefined;
}

/** Wires one control-api to a connection; returns when it serves requests over NATS. */
export async function startControlApi(
	nc: NatsConnection,
	logger: ServiceLogger,
	options: ControlApiOptions = {},
): Promise<RunningControlApi> {
	const natsLogger = logger.facility("nats");
	const onTrouble = (message: string) => natsLogger.warn(message);
	checkServer(nc);
	const storage = await openStorage(nc, options.clusterId);
	let { batches } = storage;
	void keepStorage(nc, storage.clusterId, (again) => ({ batches } = again), onTrouble);
	const [rules, hosts, levels] = await Promise.all([
		followRules(nc, { onTrouble }),
		followHostRecords(nc, { onTrouble }),
		followBucket(nc, buckets.settings, LogLevelsSchema, { onTrouble, key: settingKeys.logLevels }),
	]);
	const book = new RuleBook(rules);
	const view = new HostView(hosts);
	const publisher = new EventPublisher(nc, sayDropped(natsLogger));
	const presence = new HostPresence(view);
	presence.onChange(hostEvents(publisher));
	const log = ruleLog(nc, () => batches);
	const writer = new RuleWriter(book, log, logger.facility("rules"), ruleEvents(publisher));
	const sweeping = new Sweeping(
		rules,
		writer,
		(upTo) => sweepRules(nc, rules.stream.created, upTo),
		logger.facility("rules"),
		options.sweep,
	);
	keepLogLevels(logger, levels);
	const api: ControlApi = {
		rules: new Rules(book, writer, view),
		uploads: new Uploads(),
		hosts: view,
		forgetting: new Forgetting(nc, jetstream(nc), await jetstreamManager(nc, { checkAPI: false }), view),
		logLevels: new LogLevelSettings(storage.settings, levels),
		recovery: new Recovery(nc, view, book, writer),
		workerRestart: new WorkerRestart(nc, view),
		instance: crypto.randomUUID(),
	};
	const service = await serve(nc, {
		name: "sluice-control-api",
		version: VERSION,
		description: "the only writer of desired state",
		endpoints: endpoints(api),
		concurrencyLimit: 256,
		requestLimitBytes: 64 * 1024,
		onRequest: (request) => logRequest(natsLogger, request),
	});
	return {
		...api,
		book,
		presence,
		clusterId: storage.clusterId,
		get current() {
			return rules.current && hosts.current;
		},
		ended: service.ended,
		async stop() {
			await service.stop();
			api.uploads.close();
			sweeping.stop();
			presence.stop();
			for (const snapshot of [rules, hosts, levels]) snapshot.stop();
		},
	};
}

/** @param batches whether the bucket's stream takes them. */
function ruleLog(nc: NatsConnection, batches: () => boolean): RuleLog {
	const inBatches = new RuleBatches(nc, () => batches() && knowsBatches(nc));
	return new RuleLog(jetstream(nc), new ConnectionWatch(nc), () => rulesSequence(nc), inBatches);
}

function logRequest(logger: Logger, { subject, json, durationMs, error }: RequestRecord): void {
	const fields = { subject, json, durationMs: Math.round(durationMs * 1_000) / 1_000 };
	if (error === undefined) logger.debug(fields, "request");
	else if (error.code === "internal") logger.error({ ...fields, err: error.cause }, "request failed");
	else logger.debug({ ...fields, code: error.code, reason: error.message }, "request refused");
}
