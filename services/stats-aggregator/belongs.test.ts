import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { countersSubject } from "@sluice/proto/subjects";
import { KnownHosts } from "./belongs.ts";
import type { Chunk } from "./sample.ts";

const record = (incarnation: bigint, ...workers: number[]) =>
	create(HostRecordSchema, { host: "relay-a", incarnation, workers: workers.map((worker) => ({ worker })) });
const known = new KnownHosts();
known.take(record(100n, 0, 1));

test("only workers that the host has are heard; of a host without a record, all", () => {
	expect(known.strangeWorker(countersSubject("relay-a", 1, 0))).toBeUndefined();
	expect(known.strangeWorker(countersSubject("relay-a", 1, 7))).toBeUndefined();
	expect(known.strangeWorker(countersSubject("relay-a", 2, 0))).toBe("host relay-a has no worker 2");
	expect(known.strangeWorker("sluice.v1.counters.relay-a.junk7")).toBe("host relay-a has no worker junk7");
	expect(known.strangeWorker(countersSubject("relay-b", 2, 0))).toBeUndefined();
});

test("no incarnation is believed that the host does not say, and none kept that it has not said", () => {
	const chunk = (host: string, incarnation: bigint) => ({ host, incarnation }) as Chunk;
	expect(known.strangeIncarnation(chunk("relay-a", 99n))).toBeUndefined();
	expect(known.strangeIncarnation(chunk("relay-a", 100n))).toBeUndefined();
	expect(known.strangeIncarnation(chunk("relay-a", 2n ** 63n))).toBe(
		"of an up that host relay-a has not begun",
	);
	expect(known.strangeIncarnation(chunk("relay-b", 2n ** 63n))).toBeUndefined();
	expect(["relay-a", "relay-b"].map((host) => known.vouchesFor(host, 100n))).toEqual([true, false]);
});
