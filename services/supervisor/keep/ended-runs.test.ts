import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import { createLogger } from "@sluice/lib/log";
import { endpoint, serve } from "@sluice/lib/service";
import { startNatsServer } from "@sluice/lib/testing/nats-server";
import { CountedRunsSchema } from "@sluice/proto/gen/cluster";
import { EndedRunRequestSchema, EndedRunResponseSchema, WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { ENDED_RUNS, endedRunSubject } from "@sluice/proto/subjects";
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

test("what ended runs counted stays in the file until all of it is kept, and is told oldest first", async () => {
	const server = await startNatsServer();
	try {
		const nc = await server.connect();
		const told: bigint[] = [];
		let full = true;
		const service = {
			name: "figures",
			version: "0.1.0",
			endpoints: [
				endpoint({
					name: "ended",
					subject: endedRunSubject("relay-b"),
					request: EndedRunRequestSchema,
					response: EndedRunResponseSchema,
					handle({ incarnation }) {
						if (full && incarnation === 2n) throw new SluiceError("unavailable", "the disk is full");
						told.push(incarnation);
						return create(EndedRunResponseSchema);
					},
				}),
			],
		};
		for (const ended of [1n, 2n]) await run(ended, 10n * ended);
		const counted = () => new Map();
		const ended = await EndedRuns.read({ path, host: "relay-b", incarnation: 3n, counted, log });
		const both = await kept();
		await expect(ended.handOver(nc)).rejects.toMatchObject({ code: "unavailable" });
		await serve(nc, service);
		await expect(ended.handOver(nc)).rejects.toThrow("the disk is full");
		expect(await kept()).toEqual(both);
		full = false;
		await ended.handOver(nc);
		expect(told).toEqual([1n, 1n, 2n]);
		expect(existsSync(path)).toBeFalse();
	} finally {
		await server.stop();
	}
});

test("what was counted is written again when it has changed, and not before", async () => {
	const columns = create(WorkerCountersSchema, { ruleReceivedPackets: [5n] });
	let read = 0n;
	const counted = () => new Map([[7, { ...columns, atUnixMs: ++read }]]);
	const ended = await EndedRuns.read({ path, host: "relay-b", incarnation: 1n, counted, log });
	const file = async () => {
		await ended.keep();
		return statSync(path).ino;
	};
	const first = await file();
	expect(await file()).toBe(first);
	columns.ruleReceivedPackets = [6n];
	// Another, since it takes the place of one that is still there.
	expect(await file()).not.toBe(first);
	expect(await kept()).toEqual([[1n, 6n]]);
});
