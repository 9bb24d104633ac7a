import { expect, test } from "bun:test";
import { drainKey } from "../reconcile/keys.ts";
import { channelName, countersName, membershipName, parseName, shardsName, workerName } from "./names.ts";

test("a name says again what it was made of", () => {
	const ring = { blockBytes: 65536, blockCount: 512, frameBytes: 2048, frameCount: 16384, vnetHeader: true };
	const shards = { ifindex: 7, firstId: 3, ring };
	expect(parseName(shardsName(shards))).toEqual({ kind: "shards", ...shards });
	expect(parseName(channelName("sluice-relay-a-12"))).toEqual({
		kind: "channel",
		channel: "sluice-relay-a-12",
	});
	expect(parseName(countersName(1))).toEqual({ kind: "counters", slot: 1 });
	expect(parseName(workerName(63))).toEqual({ kind: "worker", slot: 63 });
	expect(parseName(membershipName(500))).toEqual({ kind: "membership", number: 500 });
	expect(parseName(drainKey(2, 0xc0000201, 5001))).toEqual({
		kind: "drain",
		key: "drain/2/3221225985/5001",
		ifindex: 2,
		address: 0xc0000201,
		port: 5001,
	});
	expect(parseName("lock")).toEqual({ kind: "lock" });
	expect(parseName("notes")).toEqual({ kind: "notes" });
	expect(parseName("table")).toEqual({ kind: "table" });
});

test("what nobody here would have written says nothing", () => {
	for (const name of [
		"",
		"stored",
		"worker",
		"worker/x",
		"worker/1/2",
		"shards/1/2",
		"drain/1/-2/3",
		"lock/1",
	]) {
		expect(parseName(name)).toBeUndefined();
	}
});
