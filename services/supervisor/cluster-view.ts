import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { untilBeatMs } from "@sluice/lib/beat";
import { errorText } from "@sluice/lib/errors";
import { followHostRecords } from "@sluice/lib/host-records";
import { type BucketSnapshot, followBucket } from "@sluice/lib/kv-snapshot";
import type { ServiceLogger } from "@sluice/lib/log";
import { protocolOf } from "@sluice/lib/protocol";
import { followRules } from "@sluice/lib/stored-rules";
import type { HostRecord } from "@sluice/proto/gen/host";
import { type LogLevels, LogLevelsSchema } from "@sluice/proto/gen/log";
import type { StoredRule } from "@sluice/proto/gen/rule";
import { buckets, settingKeys } from "@sluice/proto/subjects";
import { ProtocolWatch } from "./protocol-watch.ts";
import { ClockWatch } from "./record/clock-watch.ts";
import { encodeRecord } from "./record/host-record.ts";
import { isForeign, type Owner, untilFree } from "./record/ownership.ts";
import { RecordWriter } from "./record/record-writer.ts";
import { StoredRecord } from "./record/stored-record.ts";

/** Of what the server takes in one message, at most so much is headers. */
const HEADER_BYTES = 1_024;
/** The host's record is rewritten at least this often: readers take a silent host for gone after three seconds. */
const HEARTBEAT_MS = 2_000;

/** The cluster as the supervisor follows it: what stands in its buckets, and where the host's record goes. */
export interface LiveCluster {
	readonly rules: BucketSnapshot<StoredRule>;
	readonly hosts: BucketSnapshot<HostRecord>;
	/** Calls back at once with what holds, then with each change. */
	onLevels(callback: (levels: Pick<LogLevels, "settings">) => void): void;
	readonly record: RecordWriter;
	/**
	 * Waits until this host's id is nobody else's. Before that its record is not to be written.
	 * @throws SluiceError `conflict`.
	 */
	ownId(): Promise<void>;
	readonly protocol: ProtocolWatch;
	/** Follows no longer. The record's writer goes on until it is stopped. */
	stop(): void;
}

/**
 * Resolves when rules, hosts and levels are known. Waits for buckets that are not there yet: missing is not empty.
 * @param onTaken from now on somebody else writes this host's record.
 * @param onWritten what `recordNow` last gave is what readers see.
 */
export async function followCluster(
	nc: NatsConnection,
	own: Owner,
	recordNow: () => HostRecord,
	logger: ServiceLogger,
	onTaken: (error: Error) => void,
	onWritten: () => void,
): Promise<LiveCluster> {
	const log = logger.facility("nats");
	const onTrouble = (message: string) => log.warn(message);
	const [rules, hosts, settings] = await Promise.all([
		followRules(nc, { onTrouble, edits: true }),
		followHostRecords(nc, { onTrouble }),
		followBucket(nc, buckets.settings, LogLevelsSchema, { key: settingKeys.logLevels, onTrouble }),
	]);
	const stored = new StoredRecord(nc, own, hosts.entries.get(own.host)?.revision ?? 0n, onTaken);
	const record = new RecordWriter({
		encode: () =>
			encodeRecord(recordNow(), (nc.info?.max_payload ?? Number.POSITIVE_INFINITY) - HEADER_BYTES),
		untilHeartbeatMs: () => untilBeatMs(own.host, HEARTBEAT_MS),
		write: async (bytes) => {
			await stored.write(bytes);
			onWritten();
		},
		onTrouble: (thrown) => {
			if (thrown === undefined) log.info("the host's record is written again");
			else log.warn(`the host's record cannot be written: ${errorText(thrown)}`);
		},
	});
	const clock = new ClockWatch(log);
	hosts.onChange(({ key, entry, previous, lost }) => {
		if (key !== own.host) return;
		// With the server's memory, and for whoever reads the new bucket this host is not there.
		const mine = entry ?? previous;
		if (mine === undefined || isForeign(mine.value, own)) return;
		if (lost === true) record.touch();
		else if (entry !== undefined) clock.look(entry);
	});
	const jsm = await jetstreamManager(nc, { checkAPI: false });
	const protocol = new ProtocolWatch(own.host, async () =>
		protocolOf((await jsm.streams.info(`KV_${buckets.rules}`)).config.metadata),
	);
	return {
		rules,
		hosts,
		protocol,
		onLevels: (callback) => {
			const take = () => callback(settings.entries.get(settingKeys.logLevels)?.value ?? { settings: [] });
			take();
			settings.onChange(take);
		},
		record,
		ownId: () => untilFree(hosts, own),
		stop: () => {
			protocol.stop();
			for (const snapshot of [rules, hosts, settings]) snapshot.stop();
		},
	};
}
