import { join } from "node:path";
import type { IdleStrategy } from "@sluice/lib/idle-strategies";
import type { Account } from "./accounts.ts";
import { WORKER_USER } from "./accounts.ts";
import { type ChildSpec, FIRST_GIVEN_FD } from "./child.ts";
import type { Given } from "./figures.ts";
import { launchArgv } from "./launch.ts";
import { endHolders } from "./leftovers.ts";
import type { ListenAddress } from "./listen-address.ts";
import { type LogRecord, parseNatsLine } from "./log-line.ts";

/** What the services of one `up` have in common. */
export interface Home {
	readonly hostId: string;
	/** Start of this `up`, Unix milliseconds. */
	readonly incarnation: string;
	readonly natsUrl: string;
	readonly stageDir: string;
	/** Resolves when services may connect. */
	readonly natsReady: Promise<void>;
	/** Rules are on disk: the host relays them even when one of these never serves. */
	readonly hasKeptRules: boolean;
}

/** The supervisor waits no longer for a NATS that does not come: it knows what to do without. */
const COLD_START_MS = 1_000;

const LOG_LEVEL = "info";

/** @param confFd its configuration, opened by root. */
export function natsServer(
	hostId: string,
	stageDir: string,
	hasKeptRules: boolean,
	account: Account,
	natsDir: string,
	confFd: number,
): ChildSpec {
	return {
		name: "nats-server",
		// By descriptor: its user may not be able to reach the file by any path.
		argv: launchArgv(account, [join(stageDir, "nats-server"), "-c", "/proc/self/fd/3"]),
		cwd: natsDir,
		fd: confFd,
		neverHopeless: hasKeptRules,
		readLine: (line, nowMs) => parseNatsLine(hostId, line, nowMs),
		isReady: ({ service, msg }) => service === "nats-server" && msg === "Server is ready",
	};
}

export interface ControlApiSettings {
	readonly account: Account;
	readonly seed: string;
	readonly http: ListenAddress;
	readonly httpToken: string;
}

export function controlApi(home: Home, settings: ControlApiSettings): ChildSpec {
	return service(home, "control-api", settings.account, settings.seed, {
		httpAddress: settings.http.address,
		httpPort: settings.http.port,
		httpToken: settings.httpToken,
	});
}

export function statsAggregator(home: Home, account: Account, seed: string): ChildSpec {
	return service(home, "stats-aggregator", account, seed, {});
}

export interface SupervisorSettings {
	readonly seed: string;
	readonly workerSeed: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly workers: number;
	readonly idle: IdleStrategy;
	/** Undefined: its default. */
	readonly ringLimitBytes: number | undefined;
	readonly keepFile: string;
	/** Locked by whoever relays on this host with this data directory. */
	readonly lockFile: string;
	readonly figures: readonly Given[];
	readonly installation: string;
}

/** Root: it opens packet sockets, sets buffers beyond the limits, and starts workers as another user. */
export function supervisor(home: Home, settings: SupervisorSettings): ChildSpec {
	const spec = service(home, "supervisor", undefined, settings.seed, {
		installation: settings.installation,
		labels: settings.labels,
		workers: settings.workers,
		idle: settings.idle,
		ringLimitBytes: settings.ringLimitBytes,
		workerCredentials: { kind: "nkey", seed: settings.workerSeed },
		stageDir: home.stageDir,
		workerUser: WORKER_USER,
		keepFile: settings.keepFile,
	});
	return {
		...spec,
		argv: launchArgv(undefined, keptArgv(home, "supervisor", settings)),
		givenFds: settings.figures.map(({ fd }) => fd),
		configAfter: Promise.race([home.natsReady, Bun.sleep(COLD_START_MS)]),
		innerDeath: deathInKeeper,
		onDeath: (how, log) => {
			if (how !== KEEPER_IS_LOCKED_OUT) return;
			endHolders(settings.lockFile, (pid) => log.warn("what another relay left is killed", { pid }));
		},
	};
}

/** It has not the right to see workers, which are another user's; without it, we have. */
const KEEPER_IS_LOCKED_OUT = "exit code 75";

/** In the keeper, which outlives it, and keeps what it must not lose (ADR 0070). */
function keptArgv(home: Home, name: string, { lockFile, figures }: SupervisorSettings): string[] {
	const keeper = [join(home.stageDir, "sluice-keeper"), "--name", name, "--lock", lockFile];
	const given = figures.flatMap(({ name }, index) => ["--keep", `${FIRST_GIVEN_FD + index}=${name}`]);
	return [...keeper, ...given, "--", ...serviceArgv(home, name)];
}

function deathInKeeper({ service, how }: LogRecord): string | undefined {
	return service === "keeper" && typeof how === "string" ? how : undefined;
}

function serviceArgv({ stageDir }: Home, name: string): string[] {
	return [join(stageDir, "bun"), join(stageDir, `${name}.js`)];
}

function service(
	home: Home,
	name: string,
	account: Account | undefined,
	seed: string,
	own: Readonly<Record<string, unknown>>,
): ChildSpec {
	const { hostId, incarnation, natsUrl, stageDir } = home;
	const credentials = { kind: "nkey", seed };
	const config = { service: name, hostId, incarnation, natsUrl, credentials, logLevel: LOG_LEVEL, ...own };
	return {
		name,
		argv: launchArgv(account, serviceArgv(home, name)),
		cwd: stageDir,
		configLine: JSON.stringify(config),
		configAfter: home.natsReady,
		neverHopeless: home.hasKeptRules,
		isReady: (record) => record["ready"] === true && record.service === name,
	};
}
