import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createLogger } from "@sluice/lib/log";
import { CountedRunsSchema } from "@sluice/proto/gen/cluster";
import { WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { ENDED_RUNS } from "@sluice/proto/subjects";
import { EndedRuns } from "./ended-runs.ts";
import { readKept } from "./kept-file.ts";

let folder: string;
let path: string;
const log = createLogger({ service: "supervisor", destination: { write: () => {} } }).facility("main");

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-ended-"));
	path = join(folder, "counted");
});

afterEach(() => rm(folder, { recursive: true }));

async function run(incarnation: bigint, received: bigint): Promise<void> {
	const columns = create(WorkerCountersSchema, { ruleReceivedPackets: [received] });
	const counted = () => new Map(received === 0n ? [] : [[7, columns]]);
	const ended = await EndedRuns.read({ path, host: "relay-b", incarnation, counted, log });
	await ended.keep();
}

async function kept(): Promise<[bigint, bigint | undefined][]> {
	const runs = (await readKept(path, CountedRunsSchema, log))?.runs ?? [];
	return runs.map(({ incarnation, parts }) => [incarnation, parts[7]?.ruleReceivedPackets[0]]);
}

test("what was counted is kept by run, of as many as are remembered, and a supervisor that follows in one adds nothing", async () => {
	await run(1n, 0n);
	expect(existsSync(path)).toBeFalse();
	for (let k = 1n; k <= ENDED_RUNS + 2; k += 1n) await run(k, 10n * k);
	await run(BigInt(ENDED_RUNS + 2), 500n);
	const before = await kept();
	await run(BigInt(ENDED_RUNS + 3), 0n);
	const last = BigInt(ENDED_RUNS + 2);
	const runs = await kept();
	expect(runs).toEqual(before);
	expect(runs).toHaveLength(ENDED_RUNS);
	expect(runs.slice(-2)).toEqual([
		[last - 1n, 10n * (last - 1n)],
		[last, 500n],
	]);
});
