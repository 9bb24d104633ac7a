import { hostname } from "node:os";
import { resolve } from "node:path";
import { NAME_PATTERN } from "@sluice/lib/config";
import { IDLE_STRATEGIES } from "@sluice/lib/idle-strategies";
import { ALL_HOSTS } from "@sluice/lib/placement";
import { PRIORITIES } from "@sluice/lib/priorities";
import type { RelaySettings } from "@sluice/lib/relay-settings";
import { badValue, CommandFailure, exitCodes } from "../failure.ts";
import { usableCpus } from "./cpus.ts";
import { formatListenAddress, type ListenAddress, overlap, parseListenAddress } from "./listen-address.ts";
import type { NatsTlsFiles } from "./nats-tls.ts";

/** What the command line says, unchecked. */
export interface UpOptions {
	/** Default: the host name. */
	readonly hostId?: string;
	readonly labels?: Readonly<Record<string, string>>;
	readonly workers?: number | "auto";
	/** A name of IDLE_STRATEGIES. Default: adaptive. */
	readonly idle?: string;
	/** A name of PRIORITIES. Default: nice. */
	readonly priority?: string;
	/** For all receive rings of this host. Default: the supervisor's. */
	readonly ringMemoryMiB?: number;
	readonly dataDir: string;
	/** "ADDR:PORT" of the HTTP API. */
	readonly http?: string;
	/** Joins the cluster there instead of starting a nats-server; with `credentialsFile`. */
	readonly natsUrl?: string;
	readonly credentialsFile?: string;
	/** The URL is that of the file, and nobody typed --nats. */
	readonly urlOfFile?: true;
	/** "ADDR:PORT" of our own nats-server. */
	readonly natsListen?: string;
	/** Files with what it shows when it speaks TLS. */
	readonly natsTlsCert?: string;
	readonly natsTlsKey?: string;
	readonly natsTlsCa?: string;
}

const DEFAULT_HTTP = "127.0.0.1:7080";
const DEFAULT_NATS_LISTEN = "127.0.0.1:4222";

/** Members of one fanout group; the supervisor takes no more. */
const MAX_WORKERS = 64;

/** The smallest ring has 2 MiB; a terabyte is a typing error. */
const MIN_RING_MIB = 2;
const MAX_RING_MIB = 2 ** 20;

/** What `up` does, checked. */
export interface UpPlan extends RelaySettings {
	readonly hostId: string;
	/** Absolute. */
	readonly dataDir: string;
	readonly cluster: OwnCluster | JoinedCluster;
}

/** This host runs the whole: nats-server, control-api and stats-aggregator beside the supervisor. */
export interface OwnCluster {
	readonly kind: "own";
	readonly http: ListenAddress;
	readonly natsListen: ListenAddress;
	/** Undefined: nats-server speaks no TLS. */
	readonly natsTls: NatsTlsFiles | undefined;
}

/** This host runs a supervisor and its workers for a cluster elsewhere. */
export interface JoinedCluster {
	readonly kind: "joined";
	readonly natsUrl: string;
	readonly credentialsFile: string;
	/** Nobody typed --nats. */
	readonly urlOfFile: boolean;
}

/** @throws CommandFailure for a value that cannot be. */
export function planUp(options: UpOptions): UpPlan {
	const workers = checkWorkers(options.workers ?? "auto");
	return {
		hostId: checkHostId(options.hostId),
		labels: options.labels ?? {},
		workers,
		idle: checkNamed("--idle", options.idle ?? "adaptive", IDLE_STRATEGIES),
		priority: checkNamed("--priority", options.priority ?? "nice", PRIORITIES),
		ringLimitBytes: checkRingMemory(options.ringMemoryMiB, workers),
		dataDir: resolve(options.dataDir),
		cluster: planCluster(options),
	};
}

function checkHostId(given: string | undefined): string {
	const id = given ?? hostname().toLowerCase().split(".", 1)[0] ?? "";
	if (NAME_PATTERN.test(id) && id !== ALL_HOSTS) return id;
	if (given === ALL_HOSTS)
		throw badValue(`--host-id ${given}`, "a name of its own: rules mean every host by all");
	if (given !== undefined) {
		throw badValue(
			`--host-id ${given}`,
			"a-z, 0-9 and -, with a letter or digit first, at most 63 characters",
		);
	}
	throw new CommandFailure(
		exitCodes.failed,
		`the host name ${id} cannot be a host id: give one with --host-id`,
	);
}

function checkNamed<Name extends string>(flag: string, name: string, names: readonly Name[]): Name {
	const known = names.find((one) => one === name);
	if (known !== undefined) return known;
	throw badValue(`${flag} ${name}`, names.join(", "));
}

function checkWorkers(workers: number | "auto"): number {
	const count = workers === "auto" ? Math.min(usableCpus(), MAX_WORKERS) : workers;
	if (Number.isInteger(count) && count >= 1 && count <= MAX_WORKERS) return count;
	throw badValue(`--workers ${count}`, `auto, or 1 to ${MAX_WORKERS}`);
}

/** Each worker has a ring of each input interface: with less than one there is no rule. */
function checkRingMemory(mebibytes: number | undefined, workers: number): number | undefined {
	if (mebibytes === undefined) return undefined;
	const least = workers * MIN_RING_MIB;
	if (Number.isInteger(mebibytes) && mebibytes >= least && mebibytes <= MAX_RING_MIB) {
		return mebibytes * 2 ** 20;
	}
	const range = `${least} to ${MAX_RING_MIB} MiB`;
	throw badValue(`--ring-memory ${mebibytes}`, workers === 1 ? range : `${range} for ${workers} workers`);
}

function planCluster(options: UpOptions): OwnCluster | JoinedCluster {
	const { natsUrl, credentialsFile, http, natsListen } = options;
	if (natsUrl === undefined) {
		// --credentials alone says who asks in other commands; `up` has its own.
		const own: OwnCluster = {
			kind: "own",
			http: parseListenAddress("--http", http, DEFAULT_HTTP),
			natsListen: parseListenAddress("--nats-listen", natsListen, DEFAULT_NATS_LISTEN),
			natsTls: checkNatsTls(options),
		};
		if (overlap(own.http, own.natsListen)) {
			const address = formatListenAddress(own.natsListen);
			throw badValue(`--nats-listen ${address}`, `another port than --http ${formatListenAddress(own.http)}`);
		}
		return own;
	}
	if (credentialsFile === undefined) {
		throw new CommandFailure(
			exitCodes.failed,
			"--nats joins a cluster and needs this host's credentials: add --credentials FILE",
		);
	}
	const doors = {
		"--http": http,
		"--nats-listen": natsListen,
		"--nats-tls-cert": options.natsTlsCert,
		"--nats-tls-key": options.natsTlsKey,
		"--nats-tls-ca": options.natsTlsCa,
	};
	const foreign = Object.entries(doors).find(([, given]) => given !== undefined)?.[0];
	if (foreign !== undefined) {
		throw new CommandFailure(
			exitCodes.failed,
			`${foreign} has no meaning with ${options.urlOfFile ? "--credentials" : "--nats"}: the cluster there has its own`,
		);
	}
	const urlOfFile = options.urlOfFile ?? false;
	return { kind: "joined", natsUrl, credentialsFile: resolve(credentialsFile), urlOfFile };
}

function checkNatsTls({ natsTlsCert, natsTlsKey, natsTlsCa }: UpOptions): NatsTlsFiles | undefined {
	if (natsTlsCert === undefined && natsTlsKey === undefined && natsTlsCa === undefined) return undefined;
	if (natsTlsCert === undefined || natsTlsKey === undefined) {
		const missing = natsTlsCert === undefined ? "--nats-tls-cert" : "--nats-tls-key";
		throw new CommandFailure(exitCodes.failed, `for TLS nats-server needs both: add ${missing} FILE`);
	}
	return { certificate: natsTlsCert, key: natsTlsKey, ca: natsTlsCa };
}
