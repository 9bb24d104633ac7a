import { dirname, join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { keepAliveFile } from "@sluice/lib/alive-file";
import { onParentGone, readStartupConfig } from "@sluice/lib/config";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { REFUSED_EXIT_CODE } from "@sluice/lib/exit-codes";
import { createLogger } from "@sluice/lib/log";
import { KeptDesiredSchema } from "@sluice/proto/gen/cluster";
import { ClusterLink } from "./cluster-link.ts";
import type { LiveCluster } from "./cluster-view.ts";
import { supervisorConfig } from "./config.ts";
import { Ending, sayFarewell } from "./ending.ts";
import { DesiredState } from "./keep/desired-state.ts";
import { EndedRuns } from "./keep/ended-runs.ts";
import { serveHostCommands } from "./keep/host-commands.ts";
import { KeptFile, readKept } from "./keep/kept-file.ts";
import { comeBeforeOthers } from "./priority.ts";
import { Supervisor } from "./supervisor.ts";

/** Ready is said after this long even when a worker does not come up: the log and the record tell. */
const READY_LIMIT_MS = 5_000;
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
	const ending = new Ending(() => supervisor.stop(), fail, log);
	process.on("SIGTERM", () => ending.begin("SIGTERM"));
	process.on("SIGINT", () => ending.begin("SIGINT"));
	onParentGone(() => ending.begin("the parent is gone"));
	supervisor.start();
	// Whether NATS is there or not: what flows does not need it.
	keepAliveFile(config.aliveFile, () => supervisor.relays);

	const { keepFile } = config;
	const facility = logger.facility("reconcile");
	const state = new DesiredState(
		{ host: config.hostId, labels: config.labels },
		keepFile === undefined ? undefined : await readKept(keepFile, KeptDesiredSchema, facility),
		facility,
	);
	const link = new ClusterLink({
		...{ config, logger, fail },
		state: () => supervisor.state(),
		isStopped: () => ending.inOrder,
	});
	const ended = await readEnded(supervisor, link);
	ending.keepCounted = async () => await ended?.keep();
	const connected = link.connect();
	const early = await Promise.race([connected, Bun.sleep(COLD_START_MS)]);
	if (early === undefined && state.knownRules > 0 && !ending.begun) {
		const why = link.refused ? "NATS refuses this host" : "NATS is not there";
		facility.error({ rules: state.knownRules }, `${why}: the rules last known flow`);
		void supervisor.join(state, 0);
	}
	const { nc, cluster } = await connected;
	state.refuse(await admittance(cluster, link, state.knownRules > 0));
	supervisor.resume(cluster.hosts.entries.get(config.hostId)?.value);
	// A closed connection is never opened again; only credentials that are refused lead to that.
	void nc
		.closed()
		.then((reason) => ending.begun || fail(reason ?? new Error("the connection to NATS closed")));
	const file = keepFile === undefined ? undefined : new KeptFile(keepFile, () => state.kept(), facility);
	ending.finish = async () => {
		await file?.flush();
		cluster.stop();
		await sayFarewell(cluster.record.stop().then(() => nc.drain()));
	};
	if (ending.begun) return;
	state.onKept(() => file?.touch());
	state.attach(cluster);
	cluster.protocol.follow((complaint) => state.refuse(complaint));
	serveHostCommands(nc, config.hostId, state, supervisor);
	await supervisor.join(state, READY_LIMIT_MS);
	// The host's record, which bears out its runs, is written by now.
	if (ended !== undefined) void handOver(ended, state, nc);
	await file?.flush();
	log.info({ ready: true, workers: config.workers }, "ready");
}

/**
 * Waits until this host's id is nobody else's.
 * @returns why a host that knows rules must hold them; empty: it need not.
 * @throws SluiceError `conflict` for one that knows none, and may not join.
 */
async function admittance(cluster: LiveCluster, link: ClusterLink, knowsRules: boolean): Promise<string> {
	// After the race: who only waits for its id must not relay beside whoever has it.
	await cluster.ownId();
	const complaint = await cluster.protocol.complaint(knowsRules ? 0 : PROTOCOL_GRACE_MS).catch(() => "");
	if (complaint === "" || knowsRules) return complaint;
	link.complain(complaint);
	await sayFarewell(cluster.record.stop());
	throw new SluiceError("conflict", complaint);
}

async function readEnded(supervisor: Supervisor, link: ClusterLink): Promise<EndedRuns | undefined> {
	const { hostId: host, incarnation, keepFile } = config;
	if (keepFile === undefined) return undefined;
	const path = join(dirname(keepFile), "counted");
	const counted = () => supervisor.counted();
	const ended = await EndedRuns.read({ path, host, incarnation, counted, log: logger.facility("main") });
	setInterval(() => link.heard || void ended.keep(), KEEP_COUNTED_MS);
	return ended;
}

async function handOver(ended: EndedRuns, state: DesiredState, nc: NatsConnection): Promise<void> {
	for (let failures = 0; !nc.isClosed(); await Bun.sleep(HAND_OVER_AGAIN_MS)) {
		// Nothing is kept of rules that the bucket lacks: those that are held may come back.
		if (state.holding !== "") continue;
		try {
			await ended.handOver(nc);
			return;
		} catch (thrown) {
			failures += 1;
			const text = `what earlier runs of up counted is not in the totals yet: ${errorText(thrown)}`;
			// An aggregator that starts beside us is there at the second try.
			if (failures === 2) logger.facility("nats").warn(text);
		}
	}
}

await run().catch(fail);
