/** Supervisor half and worker half of this process talk to each other: commands, table, snapshot, notes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { RULE_COUNTER, RULE_COUNTERS, WORKER_COUNTERS } from "./counters.ts";
import { type DataplaneEvent, readEvents } from "./events.ts";
import { ABI_VERSION } from "./layout.ts";
import * as messages from "./messages.ts";
import { type OutputRecord, type RuleRecord, TableBuilder, TableError } from "./records.ts";
import * as supervisor from "./supervisor.ts";
import { interfaceName, Worker } from "./worker.ts";

const CHANNEL = `sluice-binding-test-${process.pid}`;
const SLOT = 5;
const DEADLINE_MS = 10_000;

const seen: DataplaneEvent[] = [];
let wake: (() => void) | undefined;
let ended: Promise<void>;
let worker: Worker;
let connection = 0;
let sequence = 0n;

async function collect(pipe: number): Promise<void> {
	for await (const event of readEvents(pipe)) {
		seen.push(event);
		wake?.();
	}
}

/** The first event that fits, now or within the deadline; takes it. */
async function event<K extends DataplaneEvent["kind"]>(
	kind: K,
	fits: (event: Extract<DataplaneEvent, { kind: K }>) => boolean = () => true,
): Promise<Extract<DataplaneEvent, { kind: K }>> {
	const deadline = Date.now() + DEADLINE_MS;
	for (;;) {
		const index = seen.findIndex(
			(one) => one.kind === kind && fits(one as Extract<DataplaneEvent, { kind: K }>),
		);
		if (index >= 0) return seen.splice(index, 1)[0] as Extract<DataplaneEvent, { kind: K }>;
		if (Date.now() > deadline) throw new Error(`no event ${kind}`);
		const { promise, resolve } = Promise.withResolvers<void>();
		wake = resolve;
		const timer = setTimeout(resolve, deadline - Date.now());
		await promise;
		clearTimeout(timer);
	}
}

/** Sends a command and waits for its answer, an errno. */
async function command(make: (sequence: bigint) => Uint8Array, fds: number[] = []): Promise<number> {
	sequence += 1n;
	const asked = sequence;
	expect(supervisor.sendToWorker(connection, make(asked), fds)).toBe("sent");
	for (const fd of fds) supervisor.closeDescriptor(fd);
	return (await event("ack", (ack) => ack.sequence === asked)).errno;
}

beforeAll(async () => {
	ended = collect(supervisor.startEvents(CHANNEL, process.getuid?.() ?? 0));
	worker = Worker.start(CHANNEL, SLOT, undefined);
	const hello = await event("hello");
	connection = hello.connection;
	expect(hello).toMatchObject({ worker: SLOT, pid: process.pid, abiVersion: ABI_VERSION });
});

afterAll(async () => {
	worker.stop();
	await event("gone", (gone) => gone.connection === connection);
	supervisor.stopEvents();
	await ended;
});

function uid(number: number): Uint8Array {
	const bytes = new Uint8Array(16);
	new DataView(bytes.buffer).setUint32(0, number);
	bytes[15] = 0xee;
	return bytes;
}

function output(number: number): OutputRecord {
	return {
		key: 0xfedc_ba98_0000_0000n + BigInt(number),
		ifindex: 2,
		egressSlot: 0,
		destination: 0xef010000 + number,
		source: 0x0a000001,
		port: 6000,
		ttl: 16,
		dscp: 46,
		mtu: 1500,
		counterIndex: 1024 + 8 * number,
		usable: false,
	};
}

function rule(number: number, outputs: readonly OutputRecord[], more: Partial<RuleRecord> = {}): RuleRecord {
	return {
		uid: uid(number),
		inputIfindex: 1,
		group: 0xef000000 + number,
		port: 5001,
		vlan: 0,
		counterIndex: 128 + 16 * number,
		sources: [],
		outputs,
		...more,
	};
}

/** Those of this process, with how often each has slept. */
function packetThreads(): Map<string, number> {
	const threads = new Map<string, number>();
	for (const thread of readdirSync("/proc/self/task")) {
		try {
			const status = readFileSync(`/proc/self/task/${thread}/status`, "utf8");
			const sleeps = /^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1];
			if (status.startsWith("Name:\tsluice-packets\n")) threads.set(thread, Number(sleeps));
		} catch {
			// It has ended.
		}
	}
	return threads;
}

const builder = new TableBuilder();

test("before counters and a table there is no snapshot", async () => {
	// The thread says hello first and takes on its state after it: who answers a command has done so.
	expect(await command((number) => messages.detachShardMessage(number, 4711))).toBeGreaterThan(0);
	expect(worker.state()).toEqual({ state: "run", errno: 0 });
	expect(worker.snapshot()).toBeUndefined();
});

test("the labels of a table come back in the snapshot", async () => {
	expect(await command(messages.countersMessage, [supervisor.createCounters(4096)])).toBe(0);
	builder.reset();
	builder.addInterface({ name: "input-interface", ifindex: 1, counterIndex: 64 });
	builder.addRule(rule(0, [output(0), output(1)]));
	builder.addRule(rule(1, [output(2)], { sources: [{ network: 0x0a000000, prefixBits: 8 }] }));
	expect(await command(messages.installTableMessage, [builder.build(7n)])).toBe(0);

	const snapshot = worker.snapshot();
	if (!snapshot) throw new Error("no snapshot");
	expect(snapshot).toMatchObject({ tableGeneration: 7n, ruleCount: 2, outputCount: 3, interfaceCount: 1 });
	expect(snapshot.ruleUids).toEqual(Buffer.concat([uid(0), uid(1)]));
	expect([...snapshot.outputRules]).toEqual([0n, 0n, 1n]);
	expect([...snapshot.outputKeys].sort()).toEqual([0, 1, 2].map((number) => output(number).key));
	expect(interfaceName(snapshot, 0)).toBe("input-interface");
	expect(snapshot.ruleCounters).toHaveLength(2 * RULE_COUNTERS);
	expect(snapshot.ruleCounters[RULE_COUNTER.receivedPackets]).toBe(0n);
	expect(snapshot.workerCounters).toHaveLength(WORKER_COUNTERS);
});

test("a table of 10,000 rules does too", async () => {
	builder.reset();
	builder.addInterface({ name: "in0", ifindex: 1, counterIndex: 64 });
	for (let number = 0; number < 10_000; number++) {
		// They share counters here, so that small memory will do.
		builder.addRule(rule(number, [{ ...output(number), counterIndex: 256 }], { counterIndex: 128 }));
	}
	expect(await command(messages.installTableMessage, [builder.build(8n)])).toBe(0);
	const snapshot = worker.snapshot();
	expect(snapshot?.ruleCount).toBe(10_000);
	expect(snapshot?.ruleUids.subarray(16 * 9999)).toEqual(uid(9999));
	expect(snapshot?.outputKeys[9999]).toBe(output(9999).key);
});

test("two rules with one key are refused, and the second is named", () => {
	builder.reset();
	builder.addRule(rule(1, []));
	builder.addRule(rule(2, []));
	builder.addRule(rule(1, []));
	let refused: unknown;
	try {
		builder.build(9n);
	} catch (error) {
		refused = error;
	}
	expect(refused).toBeInstanceOf(TableError);
	expect(refused).toMatchObject({ ruleIndex: 2, code: "EINVAL" });
});

test("what does not fit its field is refused before it is encoded", () => {
	builder.reset();
	const bad: Partial<RuleRecord>[] = [
		{ uid: new Uint8Array(15) },
		{ group: -1 },
		{ port: 0 },
		{ port: 65_536 },
		{ vlan: 4095 },
		{ inputIfindex: 0 },
		{ counterIndex: 1.5 },
		{ counterIndex: 100 },
		{ counterIndex: 8 },
		{ sources: [{ network: 0, prefixBits: 33 }] },
		{ outputs: [{ ...output(0), ttl: 0 }] },
		{ outputs: [{ ...output(0), dscp: 64 }] },
		{ outputs: [{ ...output(0), key: 1 as unknown as bigint }] },
		{ outputs: [{ ...output(0), egressSlot: 16_384 }] },
		{ outputs: Array.from({ length: 257 }, (_, number) => output(number)) },
	];
	for (const more of bad) expect(() => builder.addRule(rule(1, [], more))).toThrow(RangeError);
	for (const name of ["", "x".repeat(16)]) {
		expect(() => builder.addInterface({ name, ifindex: 1, counterIndex: 64 })).toThrow(RangeError);
	}
	// And left nothing behind.
	expect(builder.ruleCount).toBe(0);
	supervisor.closeDescriptor(builder.build(10n));
});

test("notes arrive whole and in order, and are told of", async () => {
	const news = worker.news();
	for (let line = worker.takeLine(); line; line = worker.takeLine()) expect(line.text).not.toBe("");
	// Of the lines.
	await news.next();
	expect(worker.takeNote()).toBeUndefined();
	expect(await command((number) => messages.noteMessage(number, Buffer.from("first")))).toBe(0);
	expect(
		await command((number) => messages.noteMessage(number, new Uint8Array(messages.NOTE_BYTES).fill(7))),
	).toBe(0);
	await news.next();
	expect(Buffer.from(worker.takeNote() ?? []).toString()).toBe("first");
	expect(worker.takeNote()).toEqual(new Uint8Array(messages.NOTE_BYTES).fill(7));
});

test("lines of the packet thread have level, facility and text", async () => {
	expect(await command(messages.installTableMessage, [builder.build(11n)])).toBe(0);
	const lines = [];
	for (let line = worker.takeLine(); line; line = worker.takeLine()) lines.push(line);
	expect(lines.map(({ facility }) => facility)).toContain("table");
	for (const { text } of lines) expect(text).not.toBe("");
});

test("a command that can't be done is answered with its errno", async () => {
	expect(await command((number) => messages.detachShardMessage(number, 4711))).toBeGreaterThan(0);
});

test("a stopped worker halts, and can't be asked any more", async () => {
	const second = Worker.start(CHANNEL, SLOT + 1, undefined);
	const hello = await event("hello");
	expect(supervisor.sendToWorker(hello.connection, messages.stopMessage(1n))).toBe("sent");
	await event("ack", (ack) => ack.connection === hello.connection);
	await event("gone", (gone) => gone.connection === hello.connection);
	expect(second.state().state).toBe("halt");
	expect(supervisor.sendToWorker(hello.connection, messages.stopMessage(2n))).toBe("gone");
	second.stop();
	second.stop();
	expect(() => second.state()).toThrow("the packet thread was stopped");
});

test("a worker whose supervisor is not there yet keeps trying until it is stopped", async () => {
	const others = packetThreads();
	const early = Worker.start(`${CHANNEL}-later`, 0, undefined);
	// It sleeps between two tries.
	const hasTriedAgain = () =>
		[...packetThreads()].some(([thread, sleeps]) => sleeps > 1 && !others.has(thread));
	while (early.state().state === "boot" && !hasTriedAgain()) await Bun.sleep(1);
	expect(early.state()).toEqual({ state: "boot", errno: 0 });
	early.stop();
});
