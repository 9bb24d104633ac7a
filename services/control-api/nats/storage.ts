import { isDeepStrictEqual } from "node:util";
import {
	DiscardPolicy,
	type JetStreamManager,
	jetstream,
	jetstreamManager,
	RetentionPolicy,
	StorageType,
	type StreamConfig,
	type StreamInfo,
} from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { sweptOf } from "@sluice/lib/kv-content";
import { protocolOf } from "@sluice/lib/protocol";
import {
	buckets,
	CLUSTER_ID_METADATA,
	countersStream,
	countersSubjects,
	KEPT_PARTS,
	PROTOCOL_METADATA,
	PROTOCOL_VERSION,
	SWEPT_METADATA,
} from "@sluice/proto/subjects";

/** Older servers have known holes, or lack what is used here. */
const MINIMUM_SERVER_VERSION = "2.10.27";
/** The first with atomic batches. */
const BATCHES_SERVER_VERSION = "2.12.0";
const RULES_STREAM = `KV_${buckets.rules}`;
/** A page of rules or statistics is kept below this. */
const MINIMUM_MAX_PAYLOAD_BYTES = 2_000_000;

export interface Storage {
	readonly settings: KV;
	/** Stamped on the bucket of rules when it was created. */
	readonly clusterId: string;
	/** The bucket of rules takes several writes as one. */
	readonly batches: boolean;
}

/** Refuses a server that is too old or takes too small messages. */
export function checkServer(nc: NatsConnection): void {
	const info = nc.info;
	const version = info?.version ?? "unknown";
	if (!isAtLeast(version, MINIMUM_SERVER_VERSION)) {
		throw new SluiceError(
			"unavailable",
			`nats-server ${version} is too old: install ${MINIMUM_SERVER_VERSION} or newer`,
		);
	}
	const limit = info?.max_payload ?? 0;
	if (limit < MINIMUM_MAX_PAYLOAD_BYTES) {
		throw new SluiceError(
			"unavailable",
			`nats-server takes messages of ${limit} bytes: set max_payload to 4MB, at least ${MINIMUM_MAX_PAYLOAD_BYTES}`,
		);
	}
}

/** Whether the server of this connection takes several writes as one (allowBatches). */
export function knowsBatches(nc: Pick<NatsConnection, "info">): boolean {
	return isAtLeast(nc.info?.version ?? "", BATCHES_SERVER_VERSION);
}

/** A server whose disk is full answers no write: less than whoever asks waits for us. */
const SETTINGS_LIMIT_MS = 3_500;

/** Creates what is missing, as this version wants it; leaves alone what is there. */
export async function openStorage(nc: NatsConnection, clusterId: string | undefined): Promise<Storage> {
	const kvm = new Kvm(nc);
	let jsm: JetStreamManager;
	try {
		jsm = await jetstreamManager(nc);
	} catch (thrown) {
		throw new SluiceError("unavailable", `nats-server has no JetStream for us: ${errorText(thrown)}`, {
			cause: thrown,
		});
	}
	const fresh = clusterId ?? crypto.randomUUID();
	await tolerateRace(() =>
		kvm.create(
			buckets.rules,
			onDisk({ [CLUSTER_ID_METADATA]: fresh, [PROTOCOL_METADATA]: `${PROTOCOL_VERSION}` }),
		),
	);
	const batches = knowsBatches(nc) && (await allowBatches(jsm, `KV_${buckets.rules}`));
	await tolerateRace(() => kvm.create(buckets.hosts, IN_MEMORY));
	await limit(jsm, `KV_${buckets.hosts}`, NO_ROLLUP);
	await tolerateRace(() => kvm.create(buckets.settings, onDisk()));
	const settings = await new Kvm(jetstream(nc, { timeout: SETTINGS_LIMIT_MS })).open(buckets.settings);
	await tolerateRace(() => kvm.create(buckets.figures, onDisk()));
	await limit(jsm, `KV_${buckets.figures}`, FIGURES_LIMITS);
	await tolerateRace(() => ensureStream(jsm, counters));
	const stamped =
		(await jsm.streams.info(`KV_${buckets.rules}`)).config.metadata?.[CLUSTER_ID_METADATA] ?? "";
	if (clusterId !== undefined && stamped !== clusterId) {
		throw new SluiceError(
			"conflict",
			`bucket ${buckets.rules} belongs to cluster ${stamped || "unknown"}, not ${clusterId}: connect to the right one`,
		);
	}
	await stampProtocol(jsm);
	// What counts is what its stamp says; the next sweep says why it cannot be.
	await finishSweep(jsm).catch(() => {});
	return { settings, clusterId: stamped, batches };
}

/** The last sequence of the bucket of rules, asked now. */
export async function rulesSequence(nc: NatsConnection): Promise<bigint> {
	const jsm = await jetstreamManager(nc, { checkAPI: false });
	return BigInt((await jsm.streams.info(`KV_${buckets.rules}`)).state.last_seq);
}

/** Hosts read there which version of the messages the cluster speaks. One that a later version wrote is not ours. */
async function stampProtocol(jsm: JetStreamManager): Promise<void> {
	const stream = `KV_${buckets.rules}`;
	const { config } = await jsm.streams.info(stream);
	const stamped = protocolOf(config.metadata);
	if (stamped === PROTOCOL_VERSION) return;
	if (stamped !== undefined && stamped > PROTOCOL_VERSION) {
		throw new SluiceError(
			"conflict",
			`the cluster speaks protocol ${stamped} and this control-api ${PROTOCOL_VERSION}: bring it up to the cluster`,
		);
	}
	const metadata = { ...config.metadata, [PROTOCOL_METADATA]: `${PROTOCOL_VERSION}` };
	await jsm.streams.update(stream, { ...config, metadata });
}

/**
 * Takes out all that stands in the bucket of rules at the sequence or before: nothing that counts. Who reads it
 * must know before it goes (ADR 0133).
 * @param created the bucket that is meant.
 */
export async function sweepRules(nc: NatsConnection, created: string, upTo: bigint): Promise<void> {
	const jsm = await jetstreamManager(nc, { checkAPI: false });
	const info = await jsm.streams.info(RULES_STREAM);
	if (info.created !== created) throw new SluiceError("conflict", "the bucket of rules is another one");
	if (sweptOf(info) < upTo) await stampSwept(jsm, info, `${upTo}`);
	await finishSweep(jsm);
}

/** A sweep that was cut short, or that nats-server has forgotten in part since it was killed. */
async function finishSweep(jsm: JetStreamManager): Promise<void> {
	const info = await jsm.streams.info(RULES_STREAM);
	const { first_seq, messages } = info.state;
	const swept = sweptOf(info);
	// Its sequences begin anew below the stamp, and would seem to be swept when they reach it.
	if (swept === 0n && info.config.metadata?.[SWEPT_METADATA] !== undefined) await stampSwept(jsm, info);
	if (messages > 0 && BigInt(first_seq) <= swept)
		await jsm.streams.purge(RULES_STREAM, { seq: Number(swept) + 1 });
}

async function stampSwept(jsm: JetStreamManager, { config }: StreamInfo, stamp?: string): Promise<void> {
	const { [SWEPT_METADATA]: _, ...metadata } = config.metadata ?? {};
	if (stamp !== undefined) metadata[SWEPT_METADATA] = stamp;
	await jsm.streams.update(RULES_STREAM, { ...config, metadata });
}

function onDisk(metadata?: Record<string, string>) {
	return {
		history: 1,
		storage: StorageType.File,
		allow_direct: true,
		...(metadata === undefined ? {} : { metadata }),
	};
}

/** What hosts write anew every two seconds: a disk that is full must not make them look dead. */
const IN_MEMORY = { history: 1, storage: StorageType.Memory, allow_direct: true };

const RETRY_MS = 500;

/**
 * A server that was started anew has forgotten counters and hosts, which are in memory, and
 * with a new store everything: then all is made anew. Hosts tell a bucket from its successor,
 * and hold what they have until somebody restores it or accepts the new one.
 */
export async function keepStorage(
	nc: NatsConnection,
	clusterId: string,
	opened: (storage: Storage) => void,
	trouble: (message: string) => void,
): Promise<void> {
	for await (const status of nc.status()) {
		if (status.type !== "reconnect") continue;
		for (let said = ""; !nc.isClosed() && !nc.isDraining(); await Bun.sleep(RETRY_MS)) {
			try {
				opened(await openStorage(nc, clusterId));
				break;
			} catch (thrown) {
				const message = `buckets and streams cannot be looked after: ${errorText(thrown)}`;
				if (message !== said) trouble(message);
				said = message;
			}
		}
	}
}

type NamedStream = Partial<StreamConfig> & { readonly name: string };

const counters: NamedStream = {
	name: countersStream,
	subjects: [countersSubjects],
	storage: StorageType.Memory,
	retention: RetentionPolicy.Limits,
	max_msgs_per_subject: 1,
	// Half of the memory that JetStream has, and 8 chunks of 8 workers of 1,000 hosts: a worker may publish as much as it
	// likes, and the hosts' records are in the same memory. What is oldest goes.
	max_bytes: 256_000_000,
	max_msgs: 65_536,
	discard: DiscardPolicy.Old,
	num_replicas: 1,
	allow_direct: true,
	// JetStream would publish the acknowledgement to whatever reply subject a worker names, a rule's key included.
	no_ack: true,
};

async function ensureStream(jsm: JetStreamManager, config: NamedStream): Promise<void> {
	const stored = await jsm.streams.info(config.name).catch(() => undefined);
	if (stored === undefined) await jsm.streams.add(config);
	// Made by an earlier version, which let it acknowledge, and grow.
	else if (stored.config.no_ack !== config.no_ack || stored.config.max_bytes !== config.max_bytes)
		await jsm.streams.update(config.name, config);
}

/**
 * The client makes every bucket with it: a write whose header says so takes everything else out of the
 * stream. Each host may write keys of its own, and would have every other host's at its mercy.
 */
const NO_ROLLUP = { allow_rollup_hdrs: false };

/**
 * Half of the disk that JetStream has, since rules are on the same, and all keys of 9,000 hosts, forgotten ones among them.
 * 10,000 rules with 64 outputs take 20 MB for each run, and up to three are kept of a host. Full, it takes nothing new.
 * Removals end by themselves (ADR 0135).
 */
const FIGURES_LIMITS = {
	...NO_ROLLUP,
	max_bytes: 2_000_000_000,
	max_msgs: 9_000 * KEPT_PARTS,
	allow_msg_ttl: true,
};

/** Buckets that an earlier version made as well. */
async function limit(
	jsm: JetStreamManager,
	stream: string,
	limits: typeof NO_ROLLUP | typeof FIGURES_LIMITS,
): Promise<void> {
	const { config } = await jsm.streams.info(stream);
	const wanted = { ...config, ...limits };
	if (!isDeepStrictEqual(wanted, config)) await jsm.streams.update(stream, wanted);
}

/** False: its server does not have them, whatever version we are connected to. */
async function allowBatches(jsm: JetStreamManager, stream: string): Promise<boolean> {
	const { config } = await jsm.streams.info(stream);
	if (config.allow_atomic === true) return true;
	const updated = await jsm.streams.update(stream, { ...config, allow_atomic: true });
	return updated.config.allow_atomic === true;
}

/** Another control-api may create the same at the same time; then it exists at the second look. */
async function tolerateRace<Result>(create: () => Promise<Result>): Promise<Result> {
	try {
		return await create();
	} catch {
		return await create();
	}
}

/** Compares "2.10.27" and the like; a pre-release counts as its release. */
export function isAtLeast(version: string, minimum: string): boolean {
	const parts = (text: string) => (text.split("-", 1)[0] ?? "").split(".").map(Number);
	const have = parts(version);
	for (const [k, wanted] of parts(minimum).entries()) {
		const value = have[k] ?? 0;
		if (Number.isNaN(value)) return false;
		if (value !== wanted) return value > wanted;
	}
	return true;
}
