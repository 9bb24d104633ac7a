import { join } from "node:path";
import type { Account } from "./accounts.ts";
import { type ChildSpec, FIRST_GIVEN_FD } from "./child.ts";
import type { Given } from "./figures.ts";
import { launchArgv } from "./launch.ts";
import { endHolders } from "./leftovers.ts";
import { type LogRecord, parseNatsLine } from "./log-line.ts";
import {
	type ControlApiStart,
	controlApiStart,
	type StartHome,
	type SupervisorStart,
	startLine,
	supervisorStart,
} from "./start-lines.ts";

/** What the services of one `up` have in common. */
export interface Home extends StartHome {
	readonly stageDir: string;
	/** Resolves when services may connect. */
	readonly natsReady: Promise<void>;
	/** Rules are on disk: the host relays them even when one of these never serves. */
	readonly hasKeptRules: boolean;
}

/** The supervisor waits no longer for a NATS that does not come: it knows what to do without. */
const COLD_START_MS = 1_000;

/**
 * After each wake-up of the server a thread of its runtime looks 20 µs later, again and again, whether all is idle. With
 * the kernel's slack that is five wake-ups instead of one, ten times a second and more (docs/performance.md).
 */
const NATS_TIMER_SLACK_NS = 1_000_000;

/** With one processor to run on it need not wake a second thread to look whether there is work for it (docs/adr/0127). */
const NATS_ENVIRONMENT = { GOMAXPROCS: "1" };

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
		environment: NATS_ENVIRONMENT,
		timerSlackNs: NATS_TIMER_SLACK_NS,
		neverHopeless: hasKeptRules,
		readLine: (line, nowMs) => parseNatsLine(hostId, line, nowMs),
		isReady: ({ service, msg }) => service === "nats-server" && msg === "Server is ready",
	};
}

export interface ControlApiSettings extends ControlApiStart {
	readonly account: Account;
	readonly seed: string;
}

export function controlApi(home: Home, { account, seed, ...settings }: ControlApiSettings): ChildSpec {
	return service(home, "control-api", account, seed, controlApiStart(settings));
}

export function statsAggregator(home: Home, account: Account, seed: string): ChildSpec {
	return service(home, "stats-aggregator", account, seed, { startsWithRelay: true });
}

export interface SupervisorSettings extends Omit<SupervisorStart, "stageDir" | "trust"> {
	readonly seed: string;
	/** Locked by whoever relays on this host with this data directory. */
	readonly lockFile: string;
	readonly figures: readonly Given[];
}

/** Root: it opens packet sockets, sets buffers beyond the limits, and starts workers as another user. */
export function supervisor(home: Home, settings: SupervisorSettings): ChildSpec {
	const { stageDir, trust = {} } = home;
	const spec = service(
		home,
		"supervisor",
		undefined,
		settings.seed,
		supervisorStart({ ...settings, stageDir, trust }),
	);
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
	return {
		name,
		argv: launchArgv(account, serviceArgv(home, name)),
		cwd: home.stageDir,
		configLine: startLine(home, name, seed, own),
		configAfter: home.natsReady,
		neverHopeless: home.hasKeptRules,
		isReady: (record) => record["ready"] === true && record.service === name,
	};
}
