import { describe, expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { silentLog } from "../apply/testing/fake-host.ts";
import type { WorkerState } from "./fleet.ts";
import { WorkerChannel } from "./worker-channel.ts";
import { WorkerReplacement } from "./worker-replacement.ts";

/** Two workers; what is done with them is told in order, and their states are the test's. */
function make() {
	const done: string[] = [];
	const seen = { looks: 0 };
	const workers = [0, 1].map((slot) => ({
		slot,
		core: slot,
		pid: 100 + slot,
		state: "RUNNING" as WorkerState,
		restarts: 0,
		lastExit: "",
	}));
	const set = (slot: number, change: Partial<(typeof workers)[number]>) => {
		const worker = workers[slot];
		if (worker !== undefined) workers[slot] = { ...worker, ...change };
	};
	const vacated = Promise.withResolvers<void>();
	const replacement = new WorkerReplacement({
		host: "relay-a",
		fleet: {
			statuses: () => {
				seen.looks += 1;
				return [...workers];
			},
			drain: (slot) => {
				done.push(`drain ${slot}`);
				set(slot, { state: "DRAINING" });
				return { slot, channel: new WorkerChannel(slot, () => "sent") };
			},
		},
		vacate: async () => {
			done.push("vacate");
			await vacated.promise;
		},
		stop: async ({ connection }) => {
			done.push(`stop ${connection}`);
		},
		log: silentLog,
	});
	return { replacement, seen, set, done, vacated };
}

async function refusal(promise: Promise<unknown>): Promise<unknown> {
	return await promise.then(
		() => "it was not refused",
		(thrown: unknown) => thrown,
	);
}

describe("replacing a worker", () => {
	test("stops it when its shards are with others, and ends when its successor runs", async () => {
		const { replacement, seen, set, done, vacated } = make();
		let ended = false;
		const replaced = replacement.replace(0).finally(() => {
			ended = true;
		});
		await until(() => done.includes("vacate"));
		expect(done).toEqual(["drain 0", "vacate"]);
		vacated.resolve();
		await until(() => done.includes("stop 0"));
		expect(done).toEqual(["drain 0", "vacate", "stop 0"]);
		set(0, { pid: 200, restarts: 1, state: "STARTING" });
		const { looks } = seen;
		// With the second look the first one's word is known.
		await until(() => seen.looks >= looks + 2);
		expect(ended).toBe(false);
		set(0, { state: "RUNNING" });
		expect(await replaced).toMatchObject({ formerPid: 100, worker: { slot: 0, pid: 200 } });
	});

	test("one at a time, only while all others run, and only workers that there are", async () => {
		const { replacement, set, vacated } = make();
		const first = replacement.replace(1);
		expect(await refusal(replacement.replace(0))).toMatchObject({
			code: "conflict",
			message: "worker 1 of relay-a is being replaced: try again when it runs",
		});
		vacated.resolve();
		set(1, { pid: 200, restarts: 1, state: "RUNNING" });
		await first;
		set(1, { state: "BACKOFF" });
		expect(await refusal(replacement.replace(0))).toMatchObject({
			code: "conflict",
			message: "worker 1 of relay-a is BACKOFF: try again when all workers run",
		});
		expect(await refusal(replacement.replace(2))).toMatchObject({ code: "not_found" });
	});

	test("a successor that ends is told with how it ended, and frees the way for another try", async () => {
		const { replacement, set, done, vacated } = make();
		vacated.resolve();
		const failed = refusal(replacement.replace(0));
		await until(() => done.includes("stop 0"));
		set(0, { pid: 0, restarts: 1, state: "BACKOFF", lastExit: "exit 1" });
		expect(await failed).toMatchObject({
			code: "timeout",
			message: expect.stringContaining("does not come up, it ended with exit 1: "),
		});
		set(0, { pid: 201, state: "RUNNING" });
		const again = replacement.replace(0);
		await until(() => done.filter((what) => what === "stop 0").length === 2);
		set(0, { pid: 202, restarts: 3, state: "RUNNING" });
		expect((await again).formerPid).toBe(201);
	});
});
