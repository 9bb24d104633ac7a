import { afterEach, beforeEach, expect, test } from "bun:test";
import { headers } from "@nats-io/transport-node";
import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
import { createLogger } from "@sluice/lib/log";
import { until } from "@sluice/lib/testing/until";
import type { HostRecord } from "@sluice/proto/gen/host";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import { KnownHosts } from "./belongs.ts";
import { steadyNowMs } from "./clock.ts";
import { emptyFold, type Fold } from "./fold.ts";
import { followHosts } from "./follow-hosts.ts";
import { FigureKeeper } from "./keep-figures.ts";
import { ANSWER_LIMIT_MS, TestAggregators } from "./testing/aggregators.ts";
import { foldReading, uid } from "./testing/counters.ts";

const DEAD_MS = 100;
const RUN = 100n;

let aggregators: TestAggregators;
let fold: Fold;
let known: KnownHosts;
let keeper: FigureKeeper;
let records: BucketSnapshot<HostRecord>;
/** There is a rule that the hosts count for. */
let there: boolean;

beforeEach(async () => {
	aggregators = await TestAggregators.open();
	[fold, known, there] = [emptyFold(), new KnownHosts(), true];
	const logger = createLogger({ service: "test", level: "error" });
	keeper = new FigureKeeper(aggregators.nc, fold, known, logger, DEAD_MS);
	await keeper.read();
	records = await followHosts(aggregators.nc, fold, known, keeper, () => {});
	keeper.start("relay-a", () => () => there);
});

afterEach(async () => {
	records.stop();
	await keeper.stop();
	await aggregators.close();
});

async function forget(host: string): Promise<void> {
	const removal = headers();
	removal.set("KV-Operation", "DEL");
	await aggregators.nc.request(kvSubject(buckets.hosts, host), "", {
		headers: removal,
		timeout: ANSWER_LIMIT_MS,
	});
}

test("of a host nothing is known any more when its record and its figures are gone, and not before", async () => {
	for (const host of ["relay-b", "relay-c", "relay-d"]) await aggregators.begin(host, RUN);
	for (const host of ["relay-b", "relay-d"])
		foldReading(fold, { host, incarnation: RUN, rules: [{ uid: uid(1), received: 1n }] }, steadyNowMs());
	await until(() => known.vouchesFor("relay-d", RUN));
	for (const host of ["relay-b", "relay-c"]) await forget(host);
	// Of the second nothing was ever counted.
	await until(() => !known.vouchesFor("relay-c", RUN));
	expect(known.vouchesFor("relay-b", RUN)).toBe(true);
	there = false;
	await until(() => fold.hosts.size === 0);
	await until(() => !known.vouchesFor("relay-b", RUN));
	expect(known.vouchesFor("relay-d", RUN)).toBe(true);
	await aggregators.begin("relay-b", RUN);
	await until(() => known.vouchesFor("relay-b", RUN));
});
