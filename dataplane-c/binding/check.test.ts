import { describe, expect, test } from "bun:test";
import { MAX_CHANNEL_NAME_BYTES } from "./check.ts";
import * as supervisor from "./supervisor.ts";

/** What bun:ffi would take without a word, and a caller without types could pass. */
const NOT_NUMBERS = [undefined, null, Number.NaN, 1.5, -1, 2 ** 32, "7", {}, 7n] as unknown as number[];
const ring = supervisor.planRing(1500, 1 << 20, true);
const filter = { programFd: 3, mapFd: 3 };

const calls: Record<string, (value: number) => unknown> = {
	"startEvents uid": (value) => supervisor.startEvents("check-test", value),
	"sendToWorker connection": (value) => supervisor.sendToWorker(value, new Uint8Array(16)),
	"sendToWorker descriptor": (value) => supervisor.sendToWorker(1, new Uint8Array(16), [value]),
	disconnectWorker: (value) => supervisor.disconnectWorker(value),
	createFilter: (value) => supervisor.createFilter(value, true),
	"admitAddress map": (value) => supervisor.admitAddress({ programFd: 3, mapFd: value }, 1),
	"admitAddress address": (value) => supervisor.admitAddress(filter, value),
	dismissAddress: (value) => supervisor.dismissAddress(filter, value),
	"planRing mtu": (value) => supervisor.planRing(value, 1 << 20, true),
	"openShards ifindex": (value) => supervisor.openShards(value, 1, ring, filter),
	"openShards count": (value) => supervisor.openShards(1, value, ring, filter),
	"openShards filter": (value) => supervisor.openShards(1, 1, ring, { programFd: value, mapFd: 3 }),
	"openShards ring": (value) => supervisor.openShards(1, 1, { ...ring, frameBytes: value }, filter),
	createCounters: (value) => supervisor.createCounters(value),
	"zeroCounters fd": (value) => supervisor.zeroCounters(value, 0, 8),
	"zeroCounters index": (value) => supervisor.zeroCounters(3, value, 8),
	"zeroCounters count": (value) => supervisor.zeroCounters(3, 0, value),
	"joinGroup fd": (value) => supervisor.joinGroup(value, 1, 0xef000001),
	"joinGroup ifindex": (value) => supervisor.joinGroup(3, value, 0xef000001),
	"joinGroup group": (value) => supervisor.joinGroup(3, 1, value),
	"leaveGroup ifindex": (value) => supervisor.leaveGroup(3, value, 0xef000001),
	"openDrain port": (value) => supervisor.openDrain(1, 1, value),
	"openEgress ifindex": (value) => supervisor.openEgress(value, 0, 5000),
	"openEgress port": (value) => supervisor.openEgress(1, 0, value),
	closeDescriptor: (value) => supervisor.closeDescriptor(value),
};

describe("no argument that is no number of its range reaches C", () => {
	for (const [name, call] of Object.entries(calls)) {
		test(name, () => {
			for (const value of NOT_NUMBERS) expect(() => call(value)).toThrow(RangeError);
		});
	}
});

test("the standard descriptors are never closed", () => {
	for (const fd of [0, 1, 2]) expect(() => supervisor.closeDescriptor(fd)).toThrow(RangeError);
});

test("a port is never 0, an interface neither", () => {
	expect(() => supervisor.openEgress(1, 0, 0)).toThrow(RangeError);
	expect(() => supervisor.openEgress(1, 0, 65_536)).toThrow(RangeError);
	expect(() => supervisor.openEgress(0, 0, 5000)).toThrow(RangeError);
	expect(() => supervisor.joinGroup(3, 1, 0)).toThrow(RangeError);
});

test("a channel name is text without NUL that fits its address", () => {
	const names = ["", "a\0b", "x".repeat(MAX_CHANNEL_NAME_BYTES + 1), undefined, null, 7] as string[];
	for (const name of names) expect(() => supervisor.startEvents(name, 0)).toThrow(RangeError);
});
