import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { HostSchema } from "@sluice/proto/gen/host";
import {
	ApplyResponse_Action as Action,
	ApplyResponseSchema,
	RuleStatus_State,
	RuleStatusSchema,
} from "@sluice/proto/gen/rule";
import { GetStatsResponseSchema, OutputStatsSchema, RuleStatsSchema } from "@sluice/proto/gen/stats";
import { Worker_State, WorkerSchema } from "@sluice/proto/gen/worker";
import { createColors } from "picocolors";
import { formatChanges } from "./changes.ts";
import { formatHosts, formatWorkers } from "./hosts.ts";
import { formatRule, formatRuleList } from "./rules.ts";
import { formatStats } from "./stats.ts";

const plain = createColors(false);
const colored = createColors(true);

const video = create(RuleStatusSchema, {
	name: "video",
	uid: "5a0c",
	revision: 7n,
	rule: {
		name: "video",
		input: { interface: "r0", group: "239.1.1.1", port: 5001, sources: ["10.0.0.5", "10.0.0.6"] },
		outputs: [
			{ interface: "r1", address: "239.10.1.1", port: 6001, ttl: 16 },
			{ interface: "r2", address: "10.0.2.1", port: 6001 },
		],
	},
	hosts: [
		{ host: "relay-a", state: RuleStatus_State.ACTIVE },
		{ host: "relay-b", state: RuleStatus_State.PENDING, reason: "no interface r0 here" },
	],
});

test("no word of a host looks like a row of its own", () => {
	const text = formatHosts([create(HostSchema, { host: "relay-a", kernel: "6.1\nrelay-b" })], plain);
	expect(text).toContain("6.1\u{fffd}relay-b\n");
});

test("the list of rules without an aggregator", () => {
	expect(formatRuleList([video], undefined, plain)).toBe(
		[
			"NAME   INPUT                               OUTPUTS                       STATE                                                        PPS  SILENT",
			"video  r0:239.1.1.1:5001 from 10.0.0.5 +1  r1:239.10.1.1:6001,ttl=16 +1  ACTIVE on relay-a; PENDING on relay-b: no interface r0 here    –       –",
			"",
		].join("\n"),
	);
});

test("the list of rules with rates and silence", () => {
	const stats = new Map([
		["video", create(RuleStatsSchema, { name: "video", packetsPerSecond: 5_000, silentSeconds: 0.2 })],
	]);
	expect(formatRuleList([video], stats, plain)).toMatch(/5,000 {6}0s\n$/);
});

test("a terminal of 80 columns shows ordinary rules whole, a piece of a cell a line", () => {
	const rule = {
		name: "video",
		input: { interface: "eth0", group: "239.1.1.1", port: 5001 },
		outputs: [{ interface: "eth1", address: "239.10.1.1", port: 6001, ttl: 16, dscp: 34 }],
	};
	const stored = create(RuleStatusSchema, { name: "video", rule, hosts: video.hosts });
	expect(formatRuleList([stored, { ...video, name: "audio" }], undefined, plain, 80)).toBe(
		[
			"NAME   INPUT                OUTPUTS                STATE             PPS  SILENT",
			"video  eth0:239.1.1.1:5001  eth1:239.10.1.1:6001,  ACTIVE on           –       –",
			"                            ttl=16,dscp=34         relay-a; PENDING",
			"                                                   on relay-b: no",
			"                                                   interface r0",
			"                                                   here",
			"audio  r0:239.1.1.1:5001    r1:239.10.1.1:6001,    ACTIVE on           –       –",
			"       from 10.0.0.5 +1     ttl=16 +1              relay-a; PENDING",
			"                                                   on relay-b: no",
			"                                                   interface r0",
			"                                                   here",
			"",
		].join("\n"),
	);
	const bare = formatRuleList([stored], undefined, plain);
	expect(bare).toContain("eth1:239.10.1.1:6001,ttl=16,dscp=34  ACTIVE on relay-a; PENDING");
	expect(formatRuleList([stored], undefined, plain, 200)).toBe(bare);
});

test("one rule in full", () => {
	expect(formatRule(video, plain)).toBe(
		[
			"rule      video",
			"input     r0:239.1.1.1:5001",
			"source    10.0.0.5",
			"source    10.0.0.6",
			"output    r1:239.10.1.1:6001,ttl=16",
			"output    r2:10.0.2.1:6001",
			"hosts     the one that has the input interface",
			"state     ACTIVE on relay-a",
			"state     PENDING on relay-b: no interface r0 here",
			"revision  7",
			"uid       5a0c",
			"",
		].join("\n"),
	);
});

test("colour changes no column", () => {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is removed
	const bare = formatRuleList([video], undefined, colored).replace(/\x1b\[\d+m/g, "");
	expect(bare).toBe(formatRuleList([video], undefined, plain));
	expect(formatRuleList([video], undefined, colored)).toContain("\x1b[");
});

test("changes read like a diff", () => {
	const response = create(ApplyResponseSchema, {
		changes: [
			{ name: "audio", action: Action.ADDED },
			{ name: "same", action: Action.UNCHANGED },
			{ name: "old", action: Action.REMOVED },
			{ name: "video", action: Action.CHANGED, fields: ["outputs[0].ttl: 16 -> 32", "hosts: [] -> [all]"] },
		],
		added: 1,
		changed: 1,
		removed: 1,
		unchanged: 1,
	});
	const dry = "1 added, 1 changed, 1 removed, 1 unchanged; dry run: nothing was written\n";
	expect(formatChanges(response, plain, { dryRun: true })).toEndWith(`\n${dry}`);
	expect(formatChanges(response, plain)).toBe(
		[
			"+ audio",
			"- old",
			"~ video  outputs[0].ttl: 16 -> 32",
			"~ video  hosts: [] -> [all]",
			"1 added, 1 changed, 1 removed, 1 unchanged",
			"",
		].join("\n"),
	);
});

test("statistics: rules, outputs, interfaces", () => {
	const output = {
		interface: "r1",
		address: "239.10.1.1",
		port: 6001,
		eligiblePackets: 10n,
		sentPackets: 9n,
		failedPackets: 1n,
		failedByReason: { QUEUE_FULL: 1n },
		packetsPerSecond: 0,
	};
	const answering = { ...output, address: "10.3.0.2", failedByReason: {}, unreachableAnswers: 3n };
	const traffic = { receivedPackets: 12n, forwardedPackets: 10n, droppedPackets: { FRAGMENT: 2n } };
	const stats = create(GetStatsResponseSchema, {
		rules: [
			{
				name: "video",
				...traffic,
				packetsPerSecond: 1_000,
				bitsPerSecond: 11_200_000,
				silentSeconds: 0.1,
				outputs: [output],
				hosts: [{ host: "relay-a", ...traffic, outputs: [output] }],
			},
		],
		interfaces: [
			{
				host: "relay-a",
				interface: "r0",
				capturedFrames: 13n,
				kernelDroppedFrames: 4n,
				unmatchedPackets: 1n,
			},
		],
	});
	expect(formatStats(stats, plain)).toBe(
		[
			"RULE   RECEIVED  FORWARDED     DROPPED    PPS       RATE  SILENT",
			"video        12         10  2 FRAGMENT  1,000  11.2 Mb/s      0s",
			"",
			"RULE   OUTPUT              ELIGIBLE  SENT        FAILED  LIMITED  PPS",
			"video  r1:239.10.1.1:6001        10     9  1 QUEUE_FULL        0    0",
			"",
			"HOST     INTERFACE  CAPTURED  KERNEL DROPPED  UNMATCHED  DROPPED",
			"relay-a  r0               13               4          1        0",
			"",
		].join("\n"),
	);
	stats.rules[0]?.outputs.push(create(OutputStatsSchema, answering));
	expect(formatStats(stats, plain)).toContain(
		[
			"RULE   OUTPUT              ELIGIBLE  SENT        FAILED  LIMITED  PPS  UNREACHABLE ANSWERS",
			"video  r1:239.10.1.1:6001        10     9  1 QUEUE_FULL        0    0                    0",
			"       r1:10.3.0.2:6001          10     9             1        0    0                    3",
			"",
		].join("\n"),
	);
});

test("statistics of a silent host, and of workers, have lines of their own", () => {
	const traffic = { receivedPackets: 5n, forwardedPackets: 5n };
	const rates = { packetsPerSecond: 7, bitsPerSecond: 56 };
	const stats = create(GetStatsResponseSchema, {
		rules: [
			{
				name: "video",
				...traffic,
				...rates,
				hosts: [
					{ host: "relay-a", ...traffic, ...rates, workers: [{ worker: 0, ...traffic, ...rates }] },
					{ host: "relay-b", stale: true, ageSeconds: 75 },
				],
			},
		],
		interfaces: [{ host: "relay-b", interface: "r0", stale: true, ageSeconds: 75 }],
	});
	const lines = formatStats(stats, plain).split("\n");
	expect(lines.slice(0, 5)).toEqual(
		[
			"RULE                  RECEIVED  FORWARDED  DROPPED  PPS    RATE  SILENT",
			"video                        5          5        0    7  56 b/s   never",
			"  on relay-a                 5          5        0    7  56 b/s        ",
			"    worker 0                 5          5        0    7  56 b/s        ",
			"  on relay-b, 1m old         0          0        0    –       –        ",
		].map((line) => line.trimEnd()),
	);
	expect(lines.at(-2)).toStartWith("relay-b, 1m old  r0 ");
});

test("statistics: lines below a total add up to it, with what hosts counted before their last start", () => {
	const rates = { packetsPerSecond: 0, bitsPerSecond: 0 };
	const stats = create(GetStatsResponseSchema, {
		rules: [
			{
				name: "south",
				receivedPackets: 6_009n,
				forwardedPackets: 6_006n,
				droppedPackets: { NO_OUTPUT: 3n },
				...rates,
				silentSeconds: 2,
				hosts: [
					{ host: "relay-b", ...rates },
					{ host: "relay-c", receivedPackets: 9n, forwardedPackets: 9n, ...rates },
				],
				former: { receivedPackets: 6_000n, forwardedPackets: 5_997n, droppedPackets: { NO_OUTPUT: 3n } },
			},
		],
	});
	expect(formatStats(stats, plain).split("\n").slice(0, 5)).toEqual([
		"RULE                       RECEIVED  FORWARDED      DROPPED  PPS   RATE  SILENT",
		"south                         6,009      6,006  3 NO_OUTPUT    0  0 b/s      2s",
		"  on relay-b                      0          0            0    0  0 b/s",
		"  on relay-c                      9          9            0    0  0 b/s",
		"  before their last start     6,000      5,997  3 NO_OUTPUT",
	]);
	for (const host of stats.rules[0]?.hosts.splice(1) ?? []) expect(host.host).toBe("relay-c");
	expect(formatStats(stats, plain)).not.toContain("last start");
});

test("hosts and workers", () => {
	const host = create(HostSchema, {
		host: "relay-a",
		labels: { site: "x" },
		interfaces: [
			{ name: "lo", up: true, loopback: true },
			{ name: "r0", up: true, addresses: ["10.0.0.1", "10.0.0.2"], mtu: 1500, driver: "veth" },
			{ name: "r1", mtu: 9000 },
		],
		lastSeenSeconds: 1.5,
		version: "0.1.0",
		kernel: "6.1.0",
		protocolVersion: 1,
		cores: 4,
		idle: "spin",
		priority: "realtime",
	});
	const gone = { ...host, host: "relay-b", lastSeenSeconds: 65, interfaces: [] };
	// Of an earlier version.
	const stopped = { ...gone, host: "relay-c", stopped: true, idle: "", priority: "" };
	expect(formatHosts([host, gone, stopped], plain)).toBe(
		[
			"HOST     INTERFACES     LABELS  CORES  IDLE  PRIORITY  RINGS             SEEN  VERSION  PROTOCOL  KERNEL",
			"relay-a  r0, r1 (down)  site=x      4  spin  realtime    0 B           1s ago  0.1.0           1  6.1.0",
			"relay-b  –              site=x      4  spin  realtime    0 B     gone, 1m ago  0.1.0           1  6.1.0",
			"relay-c  –              site=x      4  –     –           0 B  stopped, 1m ago  0.1.0           1  6.1.0",
			"",
			"HOST     INTERFACE  STATE  ADDRESSES            MTU  DRIVER",
			"relay-a  r0         up     10.0.0.1, 10.0.0.2  1500  veth",
			"         r1         down   –                   9000  –",
			"",
		].join("\n"),
	);
	expect(formatHosts([host, gone], plain, 80)).toBe(
		[
			"HOST     INTERFACES  LABELS  CORES  IDLE  PRIORITY  RINGS          SEEN  VERSION",
			"relay-a  r0, r1      site=x      4  spin  realtime    0 B        1s ago  0.1.0",
			"         (down)",
			"relay-b  –           site=x      4  spin  realtime    0 B  gone, 1m ago  0.1.0",
			"",
			"HOST     PROTOCOL  KERNEL",
			"relay-a         1  6.1.0",
			"relay-b         1  6.1.0",
			"",
			"HOST     INTERFACE  STATE  ADDRESSES            MTU  DRIVER",
			"relay-a  r0         up     10.0.0.1, 10.0.0.2  1500  veth",
			"         r1         down   –                   9000  –",
			"",
		].join("\n"),
	);
	const worker = create(WorkerSchema, {
		host: "relay-a",
		worker: 1,
		core: 1,
		pid: 42,
		state: Worker_State.RUNNING,
	});
	expect(formatWorkers([worker], plain)).toContain("relay-a       1     1   42  RUNNING         0  –");
});
