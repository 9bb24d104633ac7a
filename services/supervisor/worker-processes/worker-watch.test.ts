import { afterEach, expect, jest, test } from "bun:test";
import type { HangsEvent } from "@sluice/dataplane/events";
import { pass } from "@sluice/lib/testing/clock";
import { WorkerChannel } from "./worker-channel.ts";
import { type WatchedWorker, WorkerWatch, type WorkerWatchOptions } from "./worker-watch.ts";

const CONNECTION = 5;

function make(changes: Partial<WorkerWatchOptions> = {}) {
	const hanging: string[] = [];
	const watch = new WorkerWatch({
		heartbeat: () => 0n,
		stopOf: () => 1,
		onHanging: (_slot, why) => hanging.push(why),
		...changes,
	});
	return { watch, hanging };
}

function worker(changes: Partial<WatchedWorker> = {}): WatchedWorker {
	const channel = new WorkerChannel(CONNECTION, () => "sent");
	return { slot: 0, process: { pid: 77 }, startedAtMs: 0, hadChannel: true, channel, ...changes };
}

/** With a command that waits for its answer. */
function askedWorker(): WatchedWorker {
	const asked = worker();
	asked.channel?.command(() => new Uint8Array(16)).catch(() => {});
	return asked;
}

const HANGS: HangsEvent = { kind: "hangs", connection: CONNECTION, stopped: false, heartbeat: 0n };

afterEach(() => {
	jest.useRealTimers();
});

test("one that does not say hello in time hangs, one that ended does not", () => {
	const { watch, hanging } = make();
	const silent = worker({ hadChannel: false, channel: undefined });
	const ended = { ...silent, process: undefined };
	watch.look([silent, ended], 15_000);
	expect(hanging).toEqual([]);
	watch.look([silent, ended], 16_000);
	expect(hanging).toEqual(["it did not connect"]);
});

test("a supervisor that stood still blames nobody for answers that it has not read yet", () => {
	const { watch, hanging } = make();
	const workers = [askedWorker()];
	const nowMs = performance.now();
	watch.look(workers, nowMs);
	watch.look(workers, nowMs + 6_000);
	expect(hanging).toEqual([]);
	watch.look(workers, nowMs + 7_000);
	expect(hanging).toEqual(["it does not answer"]);
});

test("one whose packet thread beats again does not hang", () => {
	const { watch, hanging } = make();
	watch.hangs(worker(), { ...HANGS, heartbeat: 1n });
	expect(hanging).toEqual([]);
	watch.hangs(worker(), HANGS);
	expect(hanging).toEqual(["its packet thread stands still"]);
});

test("one that was stopped hangs unless it goes on at once, though it idles and does not beat", async () => {
	jest.useFakeTimers();
	let stop: number | undefined = 1;
	const { watch, hanging } = make({ stopOf: () => stop });
	for (const later of [undefined, 2]) {
		watch.hangs(worker(), { ...HANGS, stopped: true });
		stop = later;
		await pass(1_000);
		expect(hanging).toEqual([]);
	}
	watch.hangs(worker(), { ...HANGS, stopped: true });
	await pass(10);
	expect(hanging).toEqual(["it was stopped"]);
});
