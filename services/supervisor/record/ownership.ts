import { SluiceError } from "@sluice/lib/errors";
import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import type { HostRecord } from "@sluice/proto/gen/host";

/** Who writes a host's record: one installation (a data directory), in one run of its `up`. */
export interface Owner {
	readonly host: string;
	/** Empty: not known, as of hosts of an earlier version. */
	readonly installation: string;
	readonly incarnation: bigint;
}

type Written = Pick<HostRecord, "installation" | "incarnation" | "interfaces">;

/**
 * Whether somebody else wrote a record under this host's id: another installation, or a later run of a copy of
 * this one. A supervisor that comes back finds its own, and a later `up` of the same host a former one. Pure.
 */
export function isForeign(record: Written, own: Owner): boolean {
	const known = record.installation !== "" && own.installation !== "";
	if (known && record.installation !== own.installation) return true;
	return record.incarnation > own.incarnation;
}

/** @returns what is said of an id that is somebody else's. */
export function taken(host: string, record: Written): SluiceError {
	const address = record.interfaces.find(({ loopback }) => !loopback)?.addresses[0];
	const where = address === undefined ? "" : `, at ${address}`;
	return new SluiceError(
		"conflict",
		`host id ${host} is in use by another sluice up${where}: join with the file of another id, or stop that one`,
	);
}

/** Nothing heard for as long as a host takes to count as gone; the rest is for the way. */
const SILENCE_MS = HOST_GONE_SECONDS * 1_000 + 500;

/**
 * Waits until this host's id is free. Somebody else's record is left by whoever is gone, or is written again soon;
 * what counts is what arrives, since the clocks of hosts may be anywhere.
 * @throws SluiceError `conflict` as soon as the other one speaks.
 */
export async function untilFree(
	hosts: Pick<BucketSnapshot<HostRecord>, "entries" | "onChange" | "currentSinceMs">,
	own: Owner,
	silenceMs = SILENCE_MS,
): Promise<void> {
	const record = hosts.entries.get(own.host)?.value;
	if (record === undefined || !isForeign(record, own)) return;
	const sinceMs = performance.now();
	const heard = Promise.withResolvers<HostRecord>();
	const stop = hosts.onChange(({ key, entry }) => {
		if (key === own.host && entry !== undefined && isForeign(entry.value, own)) heard.resolve(entry.value);
	});
	try {
		for (let leftMs = silenceMs; leftMs > 0; ) {
			const other = await Promise.race([heard.promise, Bun.sleep(Math.min(leftMs, silenceMs))]);
			if (other !== undefined) throw taken(own.host, other);
			// While nobody could be heard, nobody was silent.
			leftMs = Math.max(sinceMs, hosts.currentSinceMs) + silenceMs - performance.now();
		}
	} finally {
		stop();
	}
}
