import { expect, test } from "bun:test";
import { toJson } from "@bufbuild/protobuf";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { link } from "../reconcile/testing/world.ts";
import { hostRecord } from "./host-record.ts";

test("the record lists the inventory, and of the rules only those that are not ACTIVE", () => {
	const record = hostRecord(
		{
			host: "relay-a",
			installation: "2b1e",
			labels: { site: "berlin" },
			incarnation: 1_700_000_000_000n,
			version: "0.1.0",
			kernel: "6.1.0",
			cores: 4,
			ringLimitBytes: 1024,
			idle: "spin",
			priority: "realtime",
		},
		{
			links: [link("r0", 2)],
			appliedSequence: 42n,
			rules: [
				{ name: "a", state: "ACTIVE", reason: "" },
				{ name: "b", state: "PENDING", reason: "no interface r9 here" },
				{ name: "c", state: "FAILED", reason: "refused" },
			],
			desired: [],
			workers: [{ slot: 1, core: 3, pid: 77, state: "BACKOFF", restarts: 2, lastExit: "SIGKILL" }],
			ringBytes: 512,
			holding: "",
			atMs: 1_700_000_000_123,
		},
	);
	expect(toJson(HostRecordSchema, record)).toEqual({
		host: "relay-a",
		installation: "2b1e",
		labels: { site: "berlin" },
		interfaces: [
			{
				name: "r0",
				index: 2,
				up: true,
				addresses: ["10.0.2.1"],
				mtu: 1500,
				mac: "02:00:00:00:00:01",
				driver: "veth",
			},
		],
		appliedSequence: "42",
		// PENDING is the zero of its enum.
		exceptions: [
			{ name: "b", reason: "no interface r9 here" },
			{ name: "c", state: "FAILED", reason: "refused" },
		],
		workers: [
			{ host: "relay-a", worker: 1, core: 3, pid: 77, state: "BACKOFF", restarts: 2, lastExit: "SIGKILL" },
		],
		incarnation: "1700000000000",
		atUnixMs: "1700000000123",
		protocolVersion: 2,
		ringBytes: "512",
		ringLimitBytes: "1024",
		version: "0.1.0",
		kernel: "6.1.0",
		cores: 4,
		idle: "spin",
		priority: "realtime",
	});
});
