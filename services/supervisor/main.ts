import { release } from "node:os";
import { dirname, join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { keepAliveFile } from "@sluice/lib/alive-file";
import { onParentGone, readStartupConfig } from "@sluice/lib/config";
import { connectNats } from "@sluice/lib/connect";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { EventPublisher, sayDropped } from "@sluice/lib/event-publisher";
import { REFUSED_EXIT_CODE } from "@sluice/lib/exit-codes";
import { createLogger } from "@sluice/lib/log";
import { settlesWithin } from "@sluice/lib/settles-within";
import { KeptDesiredSchema } from "@sluice/proto/gen/cluster";
import { hostConnectionName } from "@sluice/proto/subjects";
import { followCluster } from "./cluster-view.ts";
import { supervisorConfig } from "./config.ts";
import { HostEvents } from "./events/host-events.ts";
import { DesiredState } from "./keep/desired-state.ts";
import { EndedRuns } from "./keep/ended-runs.ts";
import { serveHostCommands } from "./keep/host-commands.ts";
import { KeptFile, readKept } from "./keep/kept-file.ts";
import { parentOf } from "./parent-of.ts";
import { comeBeforeOthers } from "./priority.ts";
import { hostRecord } from "./record/host-record.ts";
import { Supervisor } from "./supervisor.ts";
import { VERSION } from "./version.ts";
import { allowedCores } from "./worker-processes/cores.ts";

/** Ready is said after this long even when a worker does not come up: the log and the record tell. */
const READY_LIMIT_MS = 5_000;
/** Workers have two seconds; whoever stops us has patience for about five. */
const STOP_LIMIT_MS = 4_000;
/** Last words. While they wait for a NATS that does not answer, nobody relays. */
const FAREWELL_LIMIT_MS = 300;
/** A control-api that starts beside us raises the stamp of an earlier version. */
const PROTOCOL_GRACE_MS = 3_000;
/** When NATS takes longer, the rules that were last known flow without it. */
const COLD_START_MS = 1_000;
/** What was counted goes to disk so often while NATS does not hear it: power may fail. */
const KEEP_COUNTED_MS = 10_000;
const HAND_OVER_AGAIN_MS = 5_000;

const config = await readStartupConfig(supervisorConfig).catch((thrown: unknown) => {
	createLogger({ service: "supervisor" }).facility("main").fatal(errorText(thrown));
	process.exit(1);
});
const logger = createLogger({ service: config.service, host: config.hostId, level: config.logLevel });
const log = logger.facility("main");

function fail(reason: unknown): never {
	log.fatal(errorText(reason));
	// Somebody else has this host's id.
	const refused = reason instanceof SluiceError && reason.code === "conflict";
	process.exit(refused ? REFUSED_EXIT_CODE : 1);
}

async function run(): Promise<void> {
	comeBeforeOthers(log);
	const supervisor = new Supervisor(config, logger);
	let keepCounted: () => Promise<unknown> = async () => {};
	let finish: () => Promise<unknown> = async () => {};
	const keeper = process.ppid;
	const starter = parentOf(keeper);
	let stopping = false;
	const stop = (reason: string) => {
		if (stopping) return;
		stopping = true;
		log.info({ reason }, "stopping");
		setTimeout(() => fail(new Error(`not stopped after ${STOP_LIMIT_MS} ms`)), STOP_LIMIT_MS).unref();
		void supervisor
			.stop()
			.then(() => keepCounted())
			.then(() => {
				// The keeper stops us as well when whoever started it has died.
				stopped = parentOf(keeper) === starter;
				return finish();
			})
			.then(() => process.exit(0), fail);
	};
	process.on("SIGTERM", () => stop("SIGTERM"));
	process.on("SIGINT", () => stop("SIGINT"));
	onParentGone(() => stop("the parent is gone"));
	supervisor.start();
	// Whether NATS is there or not: what flows does not need it.
	keepAliveFile(config.aliveFile, () => supervisor.relays);

	const facility = logger.facility("reconcile");
	const { keepFile } = config;
	const state = new DesiredState(
		{ host: config.hostId, labels: config.labels },
		keepFile === undefined ? undefined : await readKept(keepFile, KeptDesiredSchema, facility),
		facility,
	);
	const ended = await readEnded(supervisor);
	keepCounted = async () => await ended?.keep();
	const connected = connectCluster(supervisor);
	const early = await Promise.race([connected, Bun.sleep(COLD_START_MS)]);
	if (early === undefined && state.knownRules > 0 && !stopping) {
		const why = refused ? "NATS refuses this host" : "NATS is not there";
		facility.error({ rules: state.knownRules }, `${why}: the rules last known flow`);
		void supervisor.join(state, 0);
	}
	const { nc, cluster, refuse } = await connected;
	// After the race: who only waits for its id must not relay beside whoever has it.
	await cluster.ownId();
	const complaint = await cluster.protocol
		.complaint(state.knownRules > 0 ? 0 : PROTOCOL_GRACE_MS)
		.catch(() => "");
	if (complaint !== "" && state.knownRules === 0) {
		refuse(complaint);
		await settlesWithin(cluster.record.stop(), FAREWELL_LIMIT_MS);
		throw new SluiceError("conflict", complaint);
	}
	state.refuse(complaint);
	supervisor.resume(cluster.hosts.entries.get(config.hostId)?.value);
	// A closed connection is never opened again; only credentials that are refused lead to that.
	void nc.closed().then((reason) => stopping || fail(reason ?? new Error("the connection to NATS closed")));
	const file = keepFile === undefined ? undefined : new KeptFile(keepFile, () => state.kept(), facility);
	finish = async () => {
		await file?.flush();
		cluster.stop();
		const farewell = cluster.record.stop().then(() => nc.drain());
		await settlesWithin(farewell, FAREWELL_LIMIT_MS);
	};
	if (stopping) return;
	state.onKept(() => file?.touch());
	state.attach(cluster);
	cluster.protocol.follow((complaint) => state.refuse(complaint));
	serveHostCommands(nc, config.hostId, state, supervisor);
	if (ended !== undefined) void handOver(ended, nc);
	await supervisor.join(state, READY_LIMIT_MS);
	await file?.flush();
	log.info({ ready: true, workers: config.workers }, "ready");
}

/** In order: nothing runs any more, and the record that is written now says so. */
let stopped = false;

/** NATS is there, and does not let us in: it was told to. */
let refused = false;

function onRefused(): void {
	refused = true;
	const remedy = `make new ones on the cluster's first host with sluice credentials host ${config.hostId}, and start sluice up with them`;
	logger.facility("nats").error(`NATS at ${config.natsUrl} refuses the credentials of this host: ${remedy}`);
}

function onUntrusted(why: string): void {
	const remedy = why.includes("credentials")
		? ` (sluice credentials host ${config.hostId} makes them there)`
		: "";
	logger.facility("nats").error(`${why}${remedy}`);
}

async function readEnded(supervisor: Supervisor): Promise<EndedRuns | undefined> {
	const { hostId: host, incarnation, keepFile } = config;
	if (keepFile === undefined) return undefined;
	const path = join(dirname(keepFile), "counted");
	const counted = () => supervisor.counted();
	const ended = await EndedRuns.read({ path, host, incarnation, counted, log: logger.facility("main") });
	setInterval(() => heard || void ended.keep(), KEEP_COUNTED_MS);
	return ended;
}

/** NATS is there, and hears us. */
let heard = false;

async function followHearing(nc: NatsConnection): Promise<void> {
	heard = true;
	for await (const { type } of nc.status()) {
		if (type === "disconnect") heard = false;
		else if (type === "reconnect") heard = true;
	}
}

async function handOver(ended: EndedRuns, nc: NatsConnection): Promise<void> {
	for (let said = false; !nc.isClosed(); await Bun.sleep(HAND_OVER_AGAIN_MS)) {
		try {
			await ended.handOver(nc);
			return;
		} catch (thrown) {
			const text = `what earlier runs of up counted is not in the totals yet: ${errorText(thrown)}`;
			if (!said) logger.facility("nats").warn(text);
			said = true;
		}
	}
}

/** Waits for NATS and for the cluster's buckets, however long that takes. */
async function connectCluster(supervisor: Supervisor) {
	const nc = await connectNats({
		url: config.natsUrl,
		credentials: config.credentials,
		name: hostConnectionName("supervisor", config.hostId),
		onRefused,
		onUntrusted,
	});
	void followHearing(nc);
	const identity = {
		host: config.hostId,
		installation: config.installation,
		labels: config.labels,
		incarnation: config.incarnation,
		version: VERSION,
		kernel: release(),
		cores: allowedCores().length,
		ringLimitBytes: config.ringLimitBytes,
	};
	const dropped = sayDropped(logger.facility("nats"));
	const events = new HostEvents(config.hostId, new EventPublisher(nc, dropped));
	let state = supervisor.state();
	let refusal = "";
	const record = () => {
		state = supervisor.state();
		const record = { ...hostRecord(identity, state), stopped };
		// In the list, and in no rule's way.
		return refusal === ""
			? record
			: { ...record, holding: refusal, labels: {}, interfaces: [], workers: [], exceptions: [] };
	};
	const cluster = await followCluster(nc, identity, record, logger, fail, () => events.tell(state));
	const refuse = (complaint: string) => {
		refusal = complaint;
	};
	return { nc, cluster, refuse };
}

await run().catch(fail);
