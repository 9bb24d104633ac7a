import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { countersSubject } from "@sluice/proto/subjects";
import { strangeIncarnation, strangeWorker } from "./belongs.ts";
import type { Chunk } from "./sample.ts";

const value = create(HostRecordSchema, {
	host: "relay-a",
	incarnation: 100n,
	workers: [{ worker: 0 }, { worker: 1 }],
});
const records = new Map([["relay-a", { value }]]);

test("only workers that the host has are heard; of a host without a record, all", () => {
	expect(strangeWorker(records, countersSubject("relay-a", 1, 0))).toBeUndefined();
	expect(strangeWorker(records, countersSubject("relay-a", 1, 7))).toBeUndefined();
	expect(strangeWorker(records, countersSubject("relay-a", 2, 0))).toBe("host relay-a has no worker 2");
	expect(strangeWorker(records, "sluice.v1.counters.relay-a.junk7")).toBe("host relay-a has no worker junk7");
	expect(strangeWorker(records, countersSubject("relay-b", 2, 0))).toBeUndefined();
});

test("no incarnation is believed that the host does not say", () => {
	const chunk = (host: string, incarnation: bigint) => ({ host, incarnation }) as Chunk;
	expect(strangeIncarnation(records, chunk("relay-a", 99n))).toBeUndefined();
	expect(strangeIncarnation(records, chunk("relay-a", 100n))).toBeUndefined();
	expect(strangeIncarnation(records, chunk("relay-a", 2n ** 63n))).toBe(
		"of an up that host relay-a has not begun",
	);
	expect(strangeIncarnation(records, chunk("relay-b", 2n ** 63n))).toBeUndefined();
});
