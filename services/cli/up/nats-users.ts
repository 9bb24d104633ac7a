import { closeSync, fstatSync, ftruncateSync, openSync, statSync, writeSync } from "node:fs";
import { onBeat } from "@sluice/lib/beat";
import { issuedUsers } from "../credentials/issued.ts";
import type { Child } from "./child.ts";
import type { DataDir } from "./data-dir.ts";
import type { Identities } from "./identities.ts";
import type { KeeperLog } from "./log-stream.ts";
import { type NatsConfOptions, natsConf } from "./nats-conf.ts";
import { identityNames, permissionsOf } from "./permissions.ts";

export interface NatsUsersOptions
	extends Pick<NatsConfOptions, "listen" | "serverName" | "reloader" | "tlsFolder"> {
	readonly hostId: string;
	readonly identities: Identities;
	readonly dataDir: DataDir;
	readonly log: Pick<KeeperLog, "warn">;
}

/** Configuration of the host's nats-server: its own identities, and those that were issued for others. */
export async function currentNatsConf(options: NatsUsersOptions): Promise<string> {
	const { hostId, identities, dataDir, log, ...server } = options;
	const own = identityNames.map((name) => ({
		name,
		nkey: identities[name].publicKey,
		permissions: permissionsOf(name, hostId),
	}));
	const taken = own.map(({ nkey }) => nkey);
	const issued = await issuedUsers(dataDir.credentialsFolder, taken, (path) =>
		log.warn("credentials cannot be used: make them anew", { path }),
	);
	return natsConf({ ...server, users: [...own, ...issued] });
}

/** The folder is looked at this often: unlike inotify's watches, looking is not limited on busy hosts. */
const LOOK_EACH_MS = 500;
/** After a failure: a disk that is full need not stay so, and whoever was revoked must not stay. */
const AGAIN_AFTER_MS = 1_000;

/** How a running server comes to read what changed. */
export interface Reader {
	/** What stands in its configuration now. */
	readonly conf: string;
	take(conf: string): Promise<void>;
}

/**
 * Lets the running server know of credentials that are issued and revoked (ADR 0093).
 * @returns the way to stop.
 */
export function followIssued(
	options: NatsUsersOptions & { readonly log: KeeperLog },
	reader: Reader,
): () => void {
	const { dataDir, log } = options;
	let current = reader.conf;
	let stopped = false;
	let again: Timer | undefined;
	let said = "";
	const review = async () => {
		const text = await currentNatsConf(options);
		if (stopped || text === current) return;
		await reader.take(text);
		current = text;
		said = "";
		log.info("credentials changed: nats-server reads them");
	};
	let reviews = Promise.resolve();
	const look = () => {
		reviews = reviews.then(review).catch((thrown: unknown) => {
			const error = String(thrown);
			if (error !== said) log.error("credentials cannot be taken up", { error });
			said = error;
			clearTimeout(again);
			if (!stopped) again = setTimeout(look, AGAIN_AFTER_MS);
		});
	};
	let seenNs = changedNs(dataDir.credentialsFolder);
	// Not by watchFile, whose threads wake seven times for each look (ADR 0127).
	const stopLooks = onBeat(options.hostId, LOOK_EACH_MS, () => {
		const nowNs = changedNs(dataDir.credentialsFolder);
		if (nowNs !== seenNs) look();
		seenNs = nowNs;
	});
	// What came between reading them and watching.
	look();
	return () => {
		stopped = true;
		clearTimeout(again);
		stopLooks();
	};
}

/** Undefined: it cannot be looked at. */
function changedNs(folder: string): bigint | undefined {
	try {
		return statSync(folder, { bigint: true }).ctimeNs;
	} catch {
		return undefined;
	}
}

/**
 * The server that `up` runs: a signal makes it read.
 * @param confFd what it reads its configuration from.
 * @param conf what stands there.
 */
export function signalled(server: Pick<Child, "ready" | "signal">, confFd: number, conf: string): Reader {
	return {
		conf,
		async take(text) {
			rewrite(confFd, text);
			// One that is not ready might have read what was there before, and would die of the signal.
			await server.ready;
			server.signal("SIGHUP");
		},
	};
}

/**
 * In place: the server has this very file open, and no path to another. Never an empty file, which would
 * let everybody in: a server that starts in that moment reads the old, the new, or what it refuses and is
 * started again.
 * @throws when the disk does not take it; then what was there stays.
 */
function rewrite(confFd: number, text: string): void {
	const bytes = Buffer.from(text);
	const fd = openSync(`/proc/self/fd/${confFd}`, "r+");
	try {
		const sizeBefore = fstatSync(fd).size;
		try {
			// First what takes room.
			writeWhole(fd, bytes, sizeBefore, bytes.length);
		} catch (thrown) {
			ftruncateSync(fd, sizeBefore);
			throw thrown;
		}
		writeWhole(fd, bytes, 0, Math.min(sizeBefore, bytes.length));
		ftruncateSync(fd, bytes.length);
	} finally {
		closeSync(fd);
	}
}

/** A disk that is nearly full takes a part, and says so only of the rest. */
function writeWhole(fd: number, bytes: Uint8Array, from: number, end: number): void {
	for (let at = from; at < end; ) at += writeSync(fd, bytes, at, end - at, at);
}
