import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { readEvents } from "@sluice/dataplane/events";
import { linkDriver, readLinks } from "@sluice/dataplane/host";
import { ABI_VERSION } from "@sluice/dataplane/layout";
import { stopMessage } from "@sluice/dataplane/messages";
import { openProcess } from "@sluice/dataplane/process";
import * as dataplane from "@sluice/dataplane/supervisor";
import { onBeat } from "@sluice/lib/beat";
import { errorText } from "@sluice/lib/errors";
import type { ServiceLogger } from "@sluice/lib/log";
import { settlesWithin } from "@sluice/lib/settles-within";
import type { HostRecord } from "@sluice/proto/gen/host";
import type { LogLevels } from "@sluice/proto/gen/log";
import type { WorkerCounters } from "@sluice/proto/gen/stats";
import { adoptProcess } from "./adopt/adopted-process.ts";
import { type Inheritance, takeInheritance } from "./adopt/inheritance.ts";
import { type Keeping, KeptByKeeper } from "./adopt/keeping.ts";
import { channelName, workerName } from "./adopt/names.ts";
import { endStrays } from "./adopt/strays.ts";
import type { SupervisorConfig } from "./config.ts";
import type { ClusterView } from "./keep/desired-state.ts";
import { LogFlood } from "./log-flood.ts";
import { StateLog } from "./log-states.ts";
import { broadcastsOf } from "./observe/broadcasts.ts";
import { readCounted } from "./observe/counted.ts";
import { readHeartbeat } from "./observe/heartbeat.ts";
import { LinkObserver } from "./observe/links.ts";
import { Looks } from "./observe/looks.ts";
import { stopOf } from "./observe/stopped.ts";
import { WorkerPriority } from "./priority.ts";
import type { Desired, Observed, RuleState } from "./reconcile/types.ts";
import { Reconciler } from "./reconciler.ts";
import type { HostState } from "./record/host-record.ts";
import { makeRelay, type Relay } from "./relay.ts";
import { allowedCores, coreOf } from "./worker-processes/cores.ts";
import { Fleet } from "./worker-processes/fleet.ts";
import { dispatch } from "./worker-processes/hub.ts";
import { sendLevels } from "./worker-processes/levels-note.ts";
import { uidOf } from "./worker-processes/user.ts";
import { startWorkerProcess, type WorkerProcess } from "./worker-processes/worker-process.ts";
import { type Replaced, WorkerReplacement } from "./worker-processes/worker-replacement.ts";

const DEADLINE_CHECK_MS = 1_000;
const STOP_LIMIT_MS = 2_000;
/** A worker whose channel closed looks for the next one each 10 ms. */
const ADOPT_LIMIT_MS = 2_000;

/** The keeper answers in less than a millisecond: one that has not is stopped, or flooded. */
const KEEPER_LATE_MS = 2_000;

/** One relay host: its links, workers and sockets, kept at what the cluster desires. */
export class Supervisor {
	readonly #config: SupervisorConfig;
	readonly #logger: ServiceLogger;
	readonly #links: LinkObserver;
	readonly #linkLog: LogFlood;
	readonly #stateLog: StateLog;
	readonly #linkLooks = new Looks(() => this.#refreshLinks());
	readonly #fleet: Fleet;
	readonly #relay: Relay;
	readonly #replacement: WorkerReplacement;
	readonly #channelName: string;
	readonly #keeping: Keeping;
	readonly #lock: number | undefined;
	readonly #inheritance: Inheritance | undefined;
	/** Before, nothing is given to anybody. */
	#takenOver: Promise<void> | undefined;
	#keeperAwaited: Promise<void> | undefined;
	#cluster: ClusterView | undefined;
	#reconciler: Reconciler | undefined;
	#stopDeadlines: () => void = () => {};
	#rules: readonly RuleState[] = [];
	#applied: Desired = { sequence: 0n, rules: [], elsewhere: [] };
	#levels: Pick<LogLevels, "settings"> = { settings: [] };
	#readyCheck: () => void = () => {};

	constructor(config: SupervisorConfig, logger: ServiceLogger) {
		this.#config = config;
		this.#logger = logger;
		const log = logger.facility("workers");
		this.#keeping = new KeptByKeeper(log);
		const { lock, figures, inheritance } = takeInheritance(config, this.#keeping, log);
		endStrays(
			join(config.stageDir, "worker.js"),
			new Set([...(inheritance?.workers.values() ?? [])].map(({ pid }) => pid)),
			log,
		);
		this.#lock = lock;
		this.#inheritance = inheritance;
		// Abstract names live in the network namespace; the pid tells supervisors of one namespace apart.
		this.#channelName = inheritance?.channel ?? `sluice-${config.hostId}-${process.pid}`;
		this.#links = new LinkObserver(reportedLinks, {
			isOutlived: ({ ifindex }) => this.#relay.shards.outlived(ifindex),
			// A predecessor's own links are there at the first look.
			mayCome: (isFirstLook) => this.#relay.hasLetGo || (isFirstLook && inheritance !== undefined),
		});
		this.#stateLog = new StateLog(logger.facility("reconcile"));
		this.#linkLog = new LogFlood(logger.facility("interfaces"), "interfaces");
		const cores = allowedCores();
		const priority = new WorkerPriority(config.priority, log);
		this.#fleet = new Fleet({
			workers: config.workers,
			coreOf: (slot) => coreOf(slot, cores),
			start: (slot, core, onExit) => this.#startWorker(slot, core, onExit),
			adopt: (slot, onExit) => this.#adoptWorker(slot, onExit),
			endedBefore: (slot) => this.#inheritance && (this.#inheritance.ended.get(slot) ?? ""),
			onHolds: (worker, shard) => this.#relay.drivers.adopt(worker, shard),
			heartbeat: (slot) => readHeartbeat(this.#relay.counterMemories[slot]),
			stopOf,
			onEnded: (channel) => this.#relay.drivers.ended(channel),
			onConnected: (pid) => priority.raise(pid),
			onRunning: (worker) => sendLevels(worker, this.#levels, logger.facility("workers")),
			onChange: () => this.#changed(),
			log: logger.facility("workers"),
		});
		this.#relay = makeRelay({
			config,
			workers: this.#fleet,
			logger,
			keeping: this.#keeping,
			figures,
			inheritance,
		});
		this.#replacement = new WorkerReplacement({
			host: config.hostId,
			fleet: this.#fleet,
			vacate: () => this.#relay.drivers.vacate(),
			stop: async (channel) => void (await channel.command(stopMessage)),
			log: logger.facility("workers"),
		});
	}

	/** Watches links and starts the workers; they wait for what the cluster desires. */
	start(): void {
		const listener = this.#inheritance?.listener ?? this.#listen();
		const events = dataplane.startEventsOn(listener, uidOf(this.#config.workerUser));
		// After the watch began, so that nothing changes unseen in between.
		this.#refreshLinks();
		void this.#follow(events);
		this.#fleet.startAll();
		this.#takenOver = this.#takeOver();
		this.#stopDeadlines = onBeat(this.#config.hostId, DEADLINE_CHECK_MS, () => {
			const now = performance.now();
			this.#fleet.checkDeadlines(now);
			// From rules that are ACTIVE to PENDING when every worker stays away, and back.
			if (this.#fleet.down(now)) this.#reconciler?.poke();
		});
	}

	/** The host's record as it is stored, which is all that readers have seen. Before it is written anew. */
	resume(record: HostRecord | undefined): void {
		if (record?.incarnation !== this.#config.incarnation) return;
		for (const { worker, restarts, lastExit } of record.workers)
			this.#fleet.resume(worker, restarts, lastExit);
	}

	/**
	 * Begins to reconcile, or goes on. Resolves when all rules are applied and all workers run,
	 * or after the time.
	 */
	async join(cluster: ClusterView, limitMs: number): Promise<void> {
		const settled = new Promise<void>((resolve) => {
			this.#readyCheck = () => {
				if (this.#fleet.allRunning()) resolve();
			};
		});
		await this.#takenOver;
		if (this.#cluster === undefined) this.#begin(cluster);
		this.#reconciler?.poke();
		await Promise.race([settled, Bun.sleep(limitMs)]);
		this.#readyCheck = () => {};
	}

	#begin(cluster: ClusterView): void {
		this.#cluster = cluster;
		const reconciler = new Reconciler({
			desired: () => cluster.desired(this.#links.links),
			observe: () => this.#observe(),
			execute: (commands) => this.#relay.applier.execute(commands),
			settled: (rules, desired) => this.#settled(rules, desired),
			log: this.#logger.facility("reconcile"),
		});
		this.#reconciler = reconciler;
		cluster.onChange((more) => reconciler.rulesChanged(more));
		cluster.onLevels((levels) => {
			this.#levels = levels;
			this.#logger.setLevels(levels);
			this.#sendLevels();
		});
		void reconciler.run();
	}

	/** All workers run, and what is desired is known. */
	get relays(): boolean {
		return this.#cluster !== undefined && this.#fleet.allRunning();
	}

	/** What the host's record says now. */
	state(): HostState {
		return {
			links: this.#links.links,
			appliedSequence: this.#applied.sequence,
			rules: this.#rules,
			desired: this.#applied.rules,
			workers: this.#fleet.statuses(),
			ringBytes: this.#relay.open.ringBytes,
			holding: this.#cluster?.holding ?? "",
			atMs: Date.now(),
		};
	}

	/** What the rules have counted, by part of `sluice_figures`. */
	counted(): Map<number, WorkerCounters> {
		return readCounted(this.#relay.counterMemories, this.#relay.tables.notes().blocks);
	}

	/** Resolves when the worker's successor runs and drives its shards. */
	async replaceWorker(slot: number): Promise<Replaced> {
		return await this.#replacement.replace(slot);
	}

	/** Leaves every group, stops the workers, and lets the kernel close the rest. */
	async stop(): Promise<void> {
		this.#stopDeadlines();
		this.#linkLooks.stop();
		this.#reconciler?.stop();
		this.#relay.memberships.close();
		this.#relay.drivers.stop();
		await this.#fleet.stop(async (channel) => void (await channel.command(stopMessage)), STOP_LIMIT_MS);
		dataplane.stopEvents();
	}

	/** A ring that seems to be nobody's may be driven by a worker that has not come back yet. */
	async #takeOver(): Promise<void> {
		await this.#fleet.adopted(ADOPT_LIMIT_MS);
		await this.#relay.drivers.adoptOrphans();
	}

	#listen(): number {
		const listener = dataplane.listenForWorkers(this.#channelName);
		this.#keeping.keep(channelName(this.#channelName), [listener]);
		return listener;
	}

	#adoptWorker(slot: number, onExit: (how: string) => void): WorkerProcess | undefined {
		const worker = this.#inheritance?.workers.get(slot);
		if (worker === undefined) return undefined;
		const { pid, pidfd } = worker;
		this.#logger.facility("workers").info({ worker: slot, pid }, "worker is taken over");
		return adoptProcess(pidfd, pid, this.#forgetting(slot, onExit));
	}

	/** When it has ended, the keeper need not know it any more. */
	#forgetting(slot: number, onExit: (how: string) => void): (how: string) => void {
		return (how) => {
			this.#keeping.release(workerName(slot));
			onExit(how);
		};
	}

	#startWorker(slot: number, core: number, onExit: (how: string) => void): WorkerProcess {
		const { hostId, incarnation, natsUrl, workerCredentials, logLevel, stageDir, workerUser, idle } =
			this.#config;
		const worker = startWorkerProcess({
			bun: join(stageDir, "bun"),
			bundle: join(stageDir, "worker.js"),
			stageDir,
			user: workerUser,
			config: {
				service: "worker",
				hostId,
				incarnation: String(incarnation),
				natsUrl,
				credentials: workerCredentials,
				logLevel,
				worker: slot,
				core,
				idle,
				channel: this.#channelName,
				keeper: process.ppid,
			},
			lock: this.#lock,
			onExit: this.#forgetting(slot, onExit),
		});
		const pidfd = openProcess(worker.pid);
		if (pidfd !== undefined) {
			this.#keeping.keep(workerName(slot), [pidfd]);
			dataplane.closeDescriptor(pidfd);
		}
		return worker;
	}

	async #follow(events: number): Promise<void> {
		const options = {
			fleet: this.#fleet,
			send: dataplane.sendToWorker,
			disconnect: dataplane.disconnectWorker,
			abiVersion: ABI_VERSION,
			onSucceeded: (sequence: bigint, shard: number) => this.#relay.drivers.succeeded(sequence, shard),
			onDeaf: (shard: number, slot: number) => this.#reopen(shard, slot),
			onLinks: () => this.#linkLooks.ask(),
			log: this.#logger.facility("workers"),
		};
		for await (const event of readEvents(events)) dispatch(event, options);
	}

	#reopen(shard: number, slot: number): void {
		const ifindex = this.#relay.shards.deafen(shard, slot);
		if (ifindex === undefined) return;
		const name = this.#links.links.find((link) => link.ifindex === ifindex)?.name;
		this.#logger
			.facility("interfaces")
			.warn(
				{ interface: name },
				"capture stopped at a super-packet that the kernel can't describe: it begins anew, without super-packets",
			);
		this.#reconciler?.poke();
	}

	#refreshLinks(): void {
		const log = this.#logger.facility("interfaces");
		try {
			const changes = this.#links.refresh();
			for (const { name, text } of changes) this.#linkLog.say(name, text);
			if (changes.length > 0) this.#changed();
		} catch (thrown) {
			log.error(`links cannot be read: ${errorText(thrown)}`);
		}
		if (this.#links.awaited.length > 0 && !this.#keeping.isSettled) this.#awaitKeeper();
	}

	/** Looks again when it has closed what it was told to. */
	#awaitKeeper(): void {
		this.#keeperAwaited ??= this.#keeperSettled().then(() => {
			this.#keeperAwaited = undefined;
			this.#refreshLinks();
		});
	}

	async #keeperSettled(): Promise<void> {
		const settled = this.#keeping.settled();
		if (await settlesWithin(settled, KEEPER_LATE_MS)) return;
		this.#logger
			.facility("interfaces")
			.warn(
				{ interfaces: this.#links.awaited, keeper: process.ppid },
				"interfaces wait: the keeper has not closed what was joined on those before them, and does not answer",
			);
		await settled;
	}

	#sendLevels(): void {
		for (const worker of this.#fleet.reachable()) {
			sendLevels(worker, this.#levels, this.#logger.facility("workers"));
		}
	}

	#changed(): void {
		this.#relay.drivers.arrange();
		this.#reconciler?.poke();
		this.#cluster?.record.touch();
	}

	#observe(): Observed {
		const nowMs = performance.now();
		return {
			links: this.#links.links,
			workers: this.#fleet.views(),
			workersDown: this.#fleet.down(nowMs),
			open: this.#relay.open,
			limits: this.#relay.limits,
			nowMs,
		};
	}

	#settled(rules: readonly RuleState[], desired: Desired): void {
		this.#stateLog.tell(this.#rules, rules);
		this.#rules = rules;
		this.#applied = desired;
		this.#relay.settle();
		if (this.#links.awaited.length > 0) this.#refreshLinks();
		this.#cluster?.record.touch();
		this.#readyCheck();
	}
}

function reportedLinks() {
	const broadcasts = broadcastsOf(networkInterfaces());
	return readLinks().map(({ up, running, ...link }) => {
		const own = broadcasts.get(link.name) ?? [];
		return { ...link, up: up && running, driver: linkDriver(link.name), broadcasts: own };
	});
}
