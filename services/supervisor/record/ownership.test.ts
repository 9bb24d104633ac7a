import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { SnapshotChange, SnapshotEntry } from "@sluice/lib/kv-snapshot";
import { until } from "@sluice/lib/testing/until";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { isForeign, untilFree } from "./ownership.ts";

const own = { host: "relay-b", installation: "one", incarnation: 20n };

function record(installation: string, incarnation: bigint): HostRecord {
	const interfaces = [
		{ name: "lo", loopback: true, addresses: ["127.0.0.1"] },
		{ name: "m0", addresses: ["10.0.0.2"] },
	];
	return create(HostRecordSchema, { host: "relay-b", installation, incarnation, interfaces });
}

test("foreign are another installation, and a later run of a copy of this one", () => {
	expect(isForeign(record("one", 20n), own)).toBeFalse();
	expect(isForeign(record("one", 10n), own)).toBeFalse();
	expect(isForeign(record("two", 10n), own)).toBeTrue();
	expect(isForeign(record("one", 21n), own)).toBeTrue();
	// Written by an earlier version: nobody knows whose it was.
	expect(isForeign(record("", 10n), own)).toBeFalse();
});

function hosts(stored: HostRecord | undefined) {
	const entry = (value: HostRecord): SnapshotEntry<HostRecord> => ({ value, revision: 1n, writtenUnixMs: 0 });
	const listeners = new Set<(change: SnapshotChange<HostRecord>) => void>();
	return {
		entries: new Map(stored === undefined ? [] : [["relay-b", entry(stored)]]),
		onChange(callback: (change: SnapshotChange<HostRecord>) => void) {
			listeners.add(callback);
			return () => listeners.delete(callback);
		},
		write(value: HostRecord) {
			const change = { key: "relay-b", entry: entry(value), previous: undefined, revision: 2n };
			for (const listener of listeners) listener(change);
		},
		listeners,
		currentSinceMs: 0,
	};
}

test("an id that nobody has, or this installation, is free at once", async () => {
	await untilFree(hosts(undefined), own, 60_000);
	await untilFree(hosts(record("one", 10n)), own, 60_000);
});

test("another's id is refused when that one speaks, naming id and address, and free when it is silent", async () => {
	const others = hosts(record("two", 10n));
	const refused = untilFree(others, own, 60_000);
	others.write(record("two", 10n));
	await expect(refused).rejects.toThrow(
		"host id relay-b is in use by another sluice up, at 10.0.0.2: join with the file of another id, or stop that one",
	);
	await untilFree(others, own, 10);
	expect(others.listeners.size).toBe(0);
});

test("while NATS is away nobody is silent: another's id is not taken for that", async () => {
	const others = hosts(record("two", 10n));
	others.currentSinceMs = Number.POSITIVE_INFINITY;
	let free = false;
	const waiting = untilFree(others, own, 20).then(() => (free = true));
	const since = performance.now();
	await until(() => performance.now() - since > 100);
	expect(free).toBe(false);
	others.currentSinceMs = performance.now();
	others.write(record("two", 10n));
	await expect(waiting).rejects.toThrow("host id relay-b is in use");
});
