import { afterEach, describe, expect, jest, setSystemTime, test } from "bun:test";
import type { HangsEvent } from "@sluice/dataplane/events";
import { pass } from "@sluice/lib/testing/clock";
import { until } from "@sluice/lib/testing/until";
import { silentLog } from "../apply/testing/fake-host.ts";
import { Fleet, type FleetOptions } from "./fleet.ts";
import { WorkerChannel } from "./worker-channel.ts";

/** Worker processes that live and die by the test's word. */
function make(changes: Partial<FleetOptions> = {}) {
	let lastPid = 1000;
	const alive = new Map<number, { readonly slot: number; readonly end: (how: string) => void }>();
	const starts: number[] = [];
	/** Connections. */
	const ended: number[] = [];
	const fleet = new Fleet({
		workers: 2,
		coreOf: (slot) => slot + 4,
		start: (slot, _core, onExit) => {
			lastPid += 1;
			const pid = lastPid;
			starts.push(slot);
			const end = (how: string) => {
				if (alive.delete(pid)) onExit(how);
			};
			alive.set(pid, { slot, end });
			return { pid, kill: () => queueMicrotask(() => end("SIGKILL")) };
		},
		heartbeat: () => 0n,
		stopOf: () => 1,
		onEnded: ({ connection }) => ended.push(connection),
		onConnected: () => {},
		onRunning: () => {},
		onChange: () => {},
		log: silentLog,
		...changes,
	});
	const pidOf = (slot: number) => [...alive].find(([, each]) => each.slot === slot)?.[0] ?? 0;
	const connect = (slot: number, pid = pidOf(slot)) =>
		fleet.connect(slot, pid, new WorkerChannel(pid, () => "sent"));
	const end = (slot: number, how: string) => alive.get(pidOf(slot))?.end(how);
	const run = (slot: number) => {
		connect(slot);
		fleet.markRunning(slot);
	};
	return { fleet, ended, starts, alive, connect, end, run, pidOf };
}

function hangs(connection: number): HangsEvent {
	return { kind: "hangs", connection, stopped: false, heartbeat: 0n };
}

afterEach(() => {
	jest.useRealTimers();
	setSystemTime();
});

describe("fleet", () => {
	test("restarts go on where a supervisor before it was, and the last end is the last that was seen", async () => {
		const { fleet, end } = make();
		fleet.startAll();
		end(1, "exit 3");
		fleet.resume(0, 4, "SIGSEGV");
		fleet.resume(1, 7, "SIGKILL");
		fleet.resume(2, 1, "SIGKILL");
		await until(() => fleet.statuses()[1]?.restarts === 8);
		const told = fleet.statuses().map(({ restarts, lastExit }) => [restarts, lastExit]);
		expect(told).toEqual([
			[4, "SIGSEGV"],
			[8, "exit 3"],
		]);
		await fleet.stop(async () => {}, 0);
	});

	test("one that died without a supervisor was started again, however it ended", async () => {
		const { fleet } = make({ endedBefore: (slot) => (slot === 0 ? "SIGSEGV" : "") });
		fleet.startAll();
		fleet.resume(0, 4, "exit 3");
		fleet.resume(1, 7, "SIGKILL");
		expect(fleet.statuses().map(({ restarts, lastExit }) => [restarts, lastExit])).toEqual([
			[5, "SIGSEGV"],
			[8, "SIGKILL"],
		]);
		await fleet.stop(async () => {}, 0);
	});

	test("a worker is STARTING until it holds everything, then RUNNING", () => {
		const { fleet, connect } = make();
		fleet.startAll();
		expect(fleet.views().map(({ phase }) => phase)).toEqual(["absent", "absent"]);
		expect(connect(1)).toBe(true);
		expect(fleet.views()[1]?.phase).toBe("connected");
		expect(fleet.statuses()[1]).toMatchObject({ state: "STARTING", core: 5, pid: 1002 });
		fleet.markRunning(1);
		expect(fleet.running().map(({ slot }) => slot)).toEqual([1]);
		expect(fleet.allRunning()).toBe(false);
	});

	test("who is not the slot's process, or comes a second time, is turned away", () => {
		const { fleet, connect } = make();
		fleet.startAll();
		expect(connect(0, 4711)).toBe(false);
		expect(connect(9, 1001)).toBe(false);
		expect(connect(0)).toBe(true);
		expect(connect(0)).toBe(false);
	});

	test("a worker that dies waits, is started again, and how it ended stays to be seen", async () => {
		jest.useFakeTimers();
		const { fleet, starts, end, run } = make();
		fleet.startAll();
		run(0);
		end(0, "SIGSEGV");
		expect(fleet.statuses()[0]).toMatchObject({ state: "BACKOFF", pid: 0, restarts: 0, lastExit: "SIGSEGV" });
		await pass(249);
		expect(starts).toHaveLength(2);
		await pass(1);
		expect(starts).toHaveLength(3);
		expect(fleet.statuses()[0]).toMatchObject({ state: "STARTING", restarts: 1, lastExit: "SIGSEGV" });
	});

	test("commands to a worker that dies end", async () => {
		const { fleet, end, run } = make();
		fleet.startAll();
		run(0);
		const command = fleet.running()[0]?.channel.command(() => new Uint8Array(16));
		end(0, "SIGKILL");
		expect(command).rejects.toThrow("gone");
	});

	test("a worker that cannot be started is FAILED, and tried again", async () => {
		let attempts = 0;
		const { fleet } = make({
			workers: 1,
			start: () => {
				attempts += 1;
				throw new Error("no setpriv");
			},
		});
		fleet.startAll();
		expect(fleet.statuses()[0]).toMatchObject({ state: "FAILED", lastExit: "no setpriv" });
		await until(() => attempts === 2);
		await fleet.stop(async () => {}, 10);
	});

	test("one that closed its channel is not taken for one that never said hello", async () => {
		jest.useFakeTimers();
		const { fleet, alive, run } = make();
		fleet.startAll();
		for (const slot of [0, 1]) run(slot);
		fleet.disconnect(fleet.running()[0]?.channel.connection ?? 0);
		fleet.checkDeadlines(performance.now() + 16_000);
		await pass(0);
		expect(alive.size).toBe(2);
	});

	test("one that does not answer in time is ended, one that has nothing to answer is not", async () => {
		const { fleet, alive, run } = make();
		fleet.startAll();
		run(0);
		run(1);
		fleet
			.running()[0]
			?.channel.command(() => new Uint8Array(16))
			.catch(() => {});
		fleet.checkDeadlines(performance.now() + 6_000);
		await until(() => alive.size === 1);
		expect(fleet.running().map(({ slot }) => slot)).toEqual([1]);
	});

	test("one that hangs is ended; its shards are free when it has ended", async () => {
		const { fleet, alive, connect, ended, pidOf, run } = make();
		fleet.startAll();
		run(0);
		connect(1);
		const pid = pidOf(0);
		// One that starts has until its answers are due; one that beats again does not hang.
		fleet.hangs(hangs(pidOf(1)));
		fleet.hangs({ ...hangs(pid), heartbeat: 1n });
		expect(fleet.running()).toHaveLength(1);
		fleet.hangs(hangs(pid));
		fleet.hangs(hangs(pid));
		expect([fleet.running().length, ended]).toEqual([0, []]);
		await until(() => alive.size === 1);
		expect(ended).toEqual([pid]);
	});

	test("the end of a channel is an end too, and is told once", async () => {
		jest.useFakeTimers();
		const { fleet, alive, ended, pidOf, run } = make();
		fleet.startAll();
		run(0);
		const pid = pidOf(0);
		fleet.disconnect(pid);
		expect(ended).toEqual([pid]);
		await pass(1_000);
		expect(alive.size).toBe(1);
		expect(ended).toEqual([pid]);
	});

	test("one that lost its channel has time for its last words, then is ended", async () => {
		jest.useFakeTimers();
		const { fleet, alive, connect, pidOf } = make();
		fleet.startAll();
		connect(0);
		fleet.disconnect(pidOf(0));
		await pass(999);
		expect(alive.size).toBe(2);
		await pass(1);
		expect(alive.size).toBe(1);
	});

	test("one that drains takes commands as before, and its successor is started without delay", () => {
		const { fleet, starts, end, run } = make();
		fleet.startAll();
		run(0);
		run(1);
		expect(fleet.drain(0)?.slot).toBe(0);
		expect(fleet.drain(0)).toBeUndefined();
		expect([fleet.running().length, fleet.draining(), fleet.allRunning()]).toEqual([2, [0], false]);
		expect(fleet.views()[0]?.phase).toBe("draining");
		end(0, "exit 0");
		expect([starts, fleet.draining()]).toEqual([[0, 1, 0], []]);
		expect(fleet.statuses()[0]).toMatchObject({ state: "STARTING", restarts: 1, lastExit: "exit 0" });
	});

	test("one that hangs while it drains is ended, and its successor started", async () => {
		const { fleet, starts, pidOf, run } = make();
		fleet.startAll();
		run(0);
		fleet.drain(0);
		fleet.hangs(hangs(pidOf(0)));
		await until(() => starts.length === 3);
		expect(fleet.statuses()[0]).toMatchObject({ state: "STARTING", lastExit: "SIGKILL" });
	});

	test("all workers away for longer than a restart takes is down, one running is not", () => {
		const { fleet, end, run } = make();
		const start = performance.now();
		fleet.startAll();
		run(0);
		expect(fleet.down(start + 60_000)).toBe(false);
		end(0, "SIGKILL");
		// Whatever the clock says.
		setSystemTime(new Date(0));
		const endedMs = performance.now();
		expect(fleet.down(endedMs + 1_000)).toBe(false);
		expect(fleet.down(endedMs + 2_000)).toBe(true);
	});

	test("stopping asks each worker, kills who stays, and starts none again", async () => {
		const { fleet, starts, alive, end, run } = make();
		fleet.startAll();
		run(0);
		run(1);
		const asked: number[] = [];
		await fleet.stop(async (channel) => {
			asked.push(channel.connection);
			if (channel.connection === 1001) end(0, "exit 0");
		}, 50);
		expect(asked).toEqual([1001, 1002]);
		expect(alive.size).toBe(0);
		expect(starts).toHaveLength(2);
	});
});
