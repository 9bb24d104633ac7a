import { existsSync } from "node:fs";
import { CommandFailure, exitCodes } from "../failure.ts";
import { readAccounts } from "./accounts.ts";
import { Child, Refused } from "./child.ts";
import { DataDir } from "./data-dir.ts";
import { type Household, makeHousehold } from "./household.ts";
import { refuseOwnCluster } from "./joined.ts";
import { type KeeperLog, keeperLog, openLogStream } from "./log-stream.ts";
import { checkNatsServer } from "./nats-version.ts";
import { planUp, type UpOptions, type UpPlan } from "./options.ts";
import { checkPort } from "./port-check.ts";
import { openStage } from "./stage.ts";
import { findStageSources } from "./stage-sources.ts";
import { type StopSignals, stopSignals } from "./stop-signals.ts";

/** How long each process may take to end. */
const STOP_GRACE_MS = 5000;
const STILL_WAITING_EVERY_MS = 10_000;

/**
 * Starts everything on this host, keeps it running, and returns when a signal has ended it.
 * Should this process die instead, the kernel ends what it started (launch.ts).
 * @throws CommandFailure when something cannot start.
 */
export async function runUp(options: UpOptions): Promise<void> {
	const startedAt = performance.now();
	if (process.getuid?.() !== 0) {
		throw new CommandFailure(
			exitCodes.failed,
			"up needs root, since it opens packet sockets and starts services as their own users: run sudo ./sluice up",
		);
	}
	const plan = planUp(options);
	const stream = openLogStream(process.stderr);
	const log = keeperLog(stream, plan.hostId);
	using owned = new DisposableStack();
	const signals = owned.use(stopSignals());

	const accounts = await readAccounts();
	const dataDir = new DataDir(plan.dataDir);
	// Who joined and knows its rules needs no more room to relay.
	const relays = plan.cluster.kind === "joined" && existsSync(dataDir.keptRules);
	await dataDir.prepare(
		accounts,
		relays ? (why) => log.warn(`${why}: meanwhile nothing new is kept`) : undefined,
	);
	const lock = await dataDir.lock(log);
	owned.defer(() => lock.release());
	if (plan.cluster.kind === "own") await refuseOwnCluster(dataDir);
	await checkPorts(plan);
	const { sources, natsServer } = findStageSources();
	const stage = await openStage(sources, () => checkNatsServer(natsServer));
	owned.defer(() => stage.release());
	const household = await makeHousehold({
		plan,
		accounts,
		dataDir,
		stageDir: stage.path,
		log,
		adopt: (spec) => new Child({ ...spec, lockFd: lock.fd }, plan.hostId, stream, log),
		owned,
	});
	const preparedMs = performance.now() - startedAt;
	if (signals.stopping) return;
	await keep(household, signals, log, async () => {
		await household.onServing?.();
		log.info("serving", {
			preparedMs: Math.round(preparedMs),
			readyMs: Math.round(performance.now() - startedAt),
			stage: stage.path,
		});
		const workers = `${plan.workers} worker${plan.workers === 1 ? "" : "s"}`;
		process.stdout.write(`sluice ready: host ${plan.hostId}, ${workers}, ${household.where}\n`);
	});
}

async function checkPorts({ cluster }: UpPlan): Promise<void> {
	if (cluster.kind === "joined") return;
	await checkPort("--nats-listen", cluster.natsListen);
	await checkPort("--http", cluster.http);
}

/** Starts all, says when they serve, waits for the signal, stops all. */
async function keep(
	{ steps, waitsSince, onRefused, onStopping }: Household,
	signals: StopSignals,
	log: KeeperLog,
	onReady: () => Promise<void>,
): Promise<void> {
	const children = steps.flat();
	const reminder = setInterval(() => {
		const waiting = children.filter(({ isReady }) => !isReady).map(({ name }) => name);
		log.warn("still waiting", { for: waiting, ...(waitsSince === undefined ? {} : { since: waitsSince }) });
	}, STILL_WAITING_EVERY_MS);
	try {
		for (const child of children.toReversed()) child.start();
		await Promise.race([Promise.all(children.map(({ ready }) => ready)), signals.stop]);
		clearInterval(reminder);
		if (!signals.stopping) await onReady();
		await signals.stop;
		log.info("stopping");
	} catch (error) {
		if (error instanceof Refused) await onRefused?.();
		const why = error instanceof Error ? error.message : String(error);
		throw new CommandFailure(exitCodes.failed, `${why}: the log above says more`, { cause: error });
	} finally {
		clearInterval(reminder);
		onStopping?.();
		for (const step of steps) {
			await Promise.all(step.map((child) => child.stop(STOP_GRACE_MS, signals.hasten)));
		}
	}
	log.info("stopped");
}
