import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { Worker_State } from "@sluice/proto/gen/worker";
import { emptyFold } from "./fold.ts";
import { foldReading, T0 } from "./testing/counters.ts";
import { recordsBeginAnew, unheardWorkers } from "./warm-up.ts";

const own = { hostId: "relay-a", incarnation: 100n };

/** Clocks of hosts may be anywhere: here an hour behind. */
const SKEW_MS = 3_600_000;

function record(host: string, incarnation: bigint, states: Worker_State[], writtenUnixMs = T0) {
	const workers = states.map((state, worker) => ({ host, worker, state }));
	const atUnixMs = BigInt(writtenUnixMs - SKEW_MS);
	return { value: create(HostRecordSchema, { host, incarnation, workers, atUnixMs }), writtenUnixMs };
}

describe("unheardWorkers", () => {
	test("running workers are waited for until each had a whole sample", () => {
		const fold = emptyFold();
		const records = [record("relay-a", 100n, [Worker_State.RUNNING, Worker_State.RUNNING])];
		foldReading(fold, { worker: 0 });
		foldReading(fold, { worker: 1, chunk: 0, chunks: 2 });
		expect(unheardWorkers(fold, records, own, T0)).toEqual(["relay-a/1"]);
		foldReading(fold, { worker: 1, chunk: 1, chunks: 2 });
		expect(unheardWorkers(fold, records, own, T0)).toEqual([]);
	});

	test("workers that publish nothing and hosts that are gone are not waited for", () => {
		const records = [
			record("relay-b", 1n, [Worker_State.BACKOFF, Worker_State.STARTING, Worker_State.FAILED]),
			record("relay-c", 1n, [Worker_State.RUNNING], T0 - 60_000),
		];
		expect(unheardWorkers(emptyFold(), records, own, T0)).toEqual([]);
	});

	test("an earlier `up` of the own host is over, though its record is fresh", () => {
		expect(unheardWorkers(emptyFold(), [record("relay-a", 99n, [Worker_State.RUNNING])], own, T0)).toEqual(
			[],
		);
	});

	test("a sample of an older incarnation does not count for a worker of the newer", () => {
		const fold = emptyFold();
		foldReading(fold, { host: "relay-b", incarnation: 1n });
		const records = [record("relay-b", 2n, [Worker_State.RUNNING])];
		expect(unheardWorkers(fold, records, own, T0)).toEqual(["relay-b/0"]);
	});

	test("in a container the relay beside the aggregator is one like all: it may be older and run", () => {
		const records = [record("relay-a", 99n, [Worker_State.RUNNING])];
		expect(unheardWorkers(emptyFold(), records, own, T0)).toEqual([]);
		expect(unheardWorkers(emptyFold(), records, undefined, T0)).toEqual(["relay-a/0"]);
	});
});

test("after nats-server began anew, records are waited for, and not in a cluster that is new", () => {
	const [rules, hosts] = ["2026-01-01T10:00:00.123456789Z", "2026-01-01T11:00:00.123456789Z"];
	const createdMs = Date.parse("2026-01-01T11:00:00.123Z");
	expect(recordsBeginAnew(rules, hosts, createdMs + 1000)).toBeTrue();
	expect(recordsBeginAnew(rules, hosts, createdMs + 5000)).toBeFalse();
	expect(recordsBeginAnew(hosts, hosts, createdMs + 1000)).toBeFalse();
	expect(recordsBeginAnew("", "", createdMs)).toBeFalse();
});
