/** Every case, in the order in which it is shown. */

import { PACKETS, type Wire } from "../network.ts";
import { ONE_TO_ONE } from "../peers/peer.ts";
import { applyRules } from "./apply.ts";
import type { Case, Effort, Variant } from "./case.ts";
import { CPU_COLUMNS, cpuPerPacket } from "./cpu-per-packet.ts";
import { IDLE_COLUMNS, idle } from "./idle.ts";
import { LATENCY_COLUMNS, latency } from "./latency.ts";
import { LOSS_FREE_COLUMNS, lossFreeRate } from "./loss-free.ts";
import { MICRO_COLUMNS, micro } from "./micro.ts";
import { PUT_COLUMNS, PUT_TRAFFIC, putToFirst } from "./put.ts";

const LARGE = 1_400;
const SMALL = 64;
const BURST = 32;
const SUPER_PACKETS_IN: Wire = { ingress: "super-packets", egress: "packets" };
const GRO_IN: Wire = { ingress: "GRO", egress: "packets" };
const SUPER_PACKETS_OUT: Wire = { ingress: "packets", egress: "super-packets" };

function cpuCase(effort: Effort): Case {
	const loads = effort.quick
		? [
				{ ratePps: 20_000, burst: 1 },
				{ ratePps: 50_000, burst: BURST },
			]
		: [
				{ ratePps: 50_000, burst: 1 },
				{ ratePps: 100_000, burst: BURST },
				{ ratePps: 400_000, burst: BURST },
			];
	const variant = (
		sizeBytes: number,
		{ ratePps, burst }: (typeof loads)[number],
		wire: Wire,
		where = "",
	): Variant => ({
		label: `${sizeBytes} B, bursts of ${burst}, ${ratePps / 1_000} k/s${where}`,
		...{ task: ONE_TO_ONE, wire },
		measure: (lane) => cpuPerPacket(lane, effort, { ratePps, sizeBytes, burst }),
	});
	return {
		name: "cpu",
		title: "Relay CPU for each packet at equal offered rates",
		traffic: `one stream, individual packets in and out (segmentation in software unless the device segments; GRO: the kernel merges them at the input interface), payloads of ${LARGE} and ${SMALL} bytes, single packets evenly spaced and bursts of ${BURST} back to back`,
		columns: CPU_COLUMNS,
		plot: { key: "cpuMicroseconds", axis: "CPU µs per packet" },
		variants: [
			...[LARGE, SMALL].flatMap((sizeBytes) =>
				(effort.quick && sizeBytes === SMALL ? loads.slice(-1) : loads).map((load) =>
					variant(sizeBytes, load, PACKETS),
				),
			),
			...(effort.quick ? [] : loads.filter(({ burst }) => burst > 1)).flatMap((load) => [
				variant(LARGE, load, SUPER_PACKETS_OUT, ", the device segments"),
				variant(LARGE, load, GRO_IN, ", GRO"),
			]),
		],
	};
}

function lossFreeCase(effort: Effort): Case {
	const variant = (sizeBytes: number, burst: number, wire: Wire, what: string, streams = 1): Variant => ({
		label: `${sizeBytes} B, bursts of ${burst}, ${what}`,
		...{ task: { ...ONE_TO_ONE, streams }, wire },
		measure: (lane) => lossFreeRate(lane, effort, { ratePps: 100_000, sizeBytes, burst }),
	});
	return {
		name: "loss-free",
		title: "Highest loss-free rate, 1→1",
		traffic: `one stream, or 50 that interleave packet by packet; packets: individual packets in and out (segmentation in software); GRO: individual packets on the cable, which the kernel merges at the input interface; super-packets in: bursts of ${BURST} cross the cable as one super-packet; both leave as individual packets`,
		columns: LOSS_FREE_COLUMNS,
		plot: { key: "packetsInPps", axis: "datagrams per second" },
		variants: [
			variant(LARGE, BURST, PACKETS, "packets"),
			...(effort.quick
				? []
				: [
						variant(SMALL, BURST, PACKETS, "packets"),
						variant(LARGE, 1, PACKETS, "packets"),
						variant(SMALL, 1, PACKETS, "packets"),
						variant(LARGE, 1, PACKETS, "50 streams", 50),
						variant(LARGE, BURST, GRO_IN, "GRO"),
						variant(LARGE, BURST, SUPER_PACKETS_IN, "super-packets in"),
					]),
		],
	};
}

function latencyCase(effort: Effort): Case {
	return {
		name: "latency",
		title: "One-way latency",
		traffic: `one stream of ${LARGE}-byte payloads, single packets evenly spaced; the generator stamps before its send, the kernel at arrival`,
		columns: LATENCY_COLUMNS,
		plot: { key: "p99", axis: "p99, µs" },
		variants: [5_000, 50_000].map((ratePps) => ({
			label: `${ratePps / 1_000} k/s`,
			...{ task: ONE_TO_ONE, wire: PACKETS },
			measure: (lane) => latency(lane, effort, ratePps, LARGE),
		})),
	};
}

function fanOutCase(effort: Effort): Case {
	const variant = (copies: number, wire: Wire, what: string): Variant => ({
		label: `1→${copies}, ${what}`,
		...{ task: { ...ONE_TO_ONE, copies }, wire },
		measure: (lane) =>
			lossFreeRate(lane, effort, {
				...{ ratePps: Math.ceil(200_000 / copies), sizeBytes: LARGE, burst: BURST },
			}),
	});
	return {
		name: "fan-out",
		title: "Fan-out: highest loss-free rate, datagrams out",
		traffic: `one stream of ${LARGE}-byte payloads in bursts of ${BURST}, individual packets in; out as individual packets (segmentation in software), or as super-packets that the device segments`,
		columns: LOSS_FREE_COLUMNS,
		plot: { key: "packetsOutPps", axis: "datagrams out per second" },
		variants: [
			...(effort.quick ? [16] : [1, 4, 16, 64]).map((copies) => variant(copies, PACKETS, "packets out")),
			...(effort.quick ? [] : [variant(16, SUPER_PACKETS_OUT, "super-packets out")]),
		],
	};
}

function streamsCase(effort: Effort): Case {
	const ratePps = effort.quick ? 20_000 : 100_000;
	return {
		name: "streams",
		title: "Many streams at the same total rate",
		traffic: `${ratePps / 1_000} k packets/s of ${LARGE}-byte payloads over all streams, individual packets in and out; bursts of 1: streams interleave packet by packet, bursts of ${BURST}: burst by burst`,
		columns: CPU_COLUMNS,
		plot: { key: "cpuMicroseconds", axis: "CPU µs per packet" },
		variants: (effort.quick ? [1, 50] : [1, 50, 200, 1_000]).flatMap((streams) =>
			(effort.quick ? [1] : [1, BURST]).map(
				(burst): Variant => ({
					label: `${streams} ${streams === 1 ? "stream" : "streams"}, bursts of ${burst}`,
					...{ task: { ...ONE_TO_ONE, streams }, wire: PACKETS },
					measure: (lane) => cpuPerPacket(lane, effort, { ratePps, sizeBytes: LARGE, burst }),
				}),
			),
		),
	};
}

function rulesCase(effort: Effort): Case {
	const ratePps = effort.quick ? 50_000 : 100_000;
	return {
		name: "rules",
		title: "Rules loaded",
		traffic: `one stream of ${ratePps / 1_000} k packets/s, ${LARGE}-byte payloads in bursts of ${BURST}, individual packets in and out; nothing is sent to the other rules`,
		columns: CPU_COLUMNS,
		plot: { key: "cpuMicroseconds", axis: "CPU µs per packet" },
		sluiceOnly: "it has no rules",
		variants: (effort.quick ? [1, 1_000] : [1, 1_000, 10_000]).map((rules) => ({
			label: `${rules} ${rules === 1 ? "rule" : "rules"}`,
			...{ task: { ...ONE_TO_ONE, idleRules: rules - 1 }, wire: PACKETS },
			measure: (lane) => cpuPerPacket(lane, effort, { ratePps, sizeBytes: LARGE, burst: BURST }),
		})),
	};
}

function applyCase(effort: Effort): Case {
	const rules = effort.quick ? 1_000 : 10_000;
	const variant = (label: string, workers: number): Variant => ({
		label,
		...{ task: { ...ONE_TO_ONE, workers }, wire: PACKETS },
		measure: (lane) => applyRules(lane, effort, rules),
	});
	return {
		name: "apply",
		title: "From `sluice apply` to the last rule active",
		traffic:
			"no datagrams; on all CPUs with two workers, and with the relay kept to one CPU as in other cases",
		columns: [{ key: "seconds", heading: "SECONDS", decimals: 2 }],
		plot: { key: "seconds", axis: "seconds" },
		sluiceOnly: "it has no rules",
		variants: [
			...(effort.quick ? [] : [variant(`${rules} rules`, 2)]),
			variant(`${rules} rules, one CPU`, 1),
		],
	};
}

function workersCase(effort: Effort): Case {
	const streams = 50;
	return {
		name: "workers",
		title: "Workers: highest loss-free rate",
		traffic: `${streams} streams of ${LARGE}-byte payloads, interleaved by bursts of ${BURST}, individual packets in and out; with more than one worker nothing is kept to a CPU, and generator and sink run beside`,
		columns: LOSS_FREE_COLUMNS,
		plot: { key: "packetsInPps", axis: "datagrams per second" },
		long: true,
		variants: [1, 2].map((workers) => ({
			label: `${workers} ${workers === 1 ? "worker" : "workers"}`,
			...{ task: { ...ONE_TO_ONE, streams, workers }, wire: PACKETS },
			measure: (lane) => lossFreeRate(lane, effort, { ratePps: 100_000, sizeBytes: LARGE, burst: BURST }),
		})),
	};
}

function realtimeCase(effort: Effort): Case {
	const ratePps = 400_000;
	return {
		name: "realtime",
		title: "With --priority realtime",
		traffic: `one stream of ${LARGE}-byte payloads in bursts of ${BURST}, individual packets in and out, as in the case cpu`,
		columns: CPU_COLUMNS,
		plot: { key: "p99", axis: "p99, µs" },
		sluiceOnly: "the option is Sluice's",
		long: true,
		variants: [
			{
				label: `${ratePps / 1_000} k/s`,
				...{ task: { ...ONE_TO_ONE, priority: "realtime" }, wire: PACKETS },
				measure: (lane) => cpuPerPacket(lane, effort, { ratePps, sizeBytes: LARGE, burst: BURST }),
			},
		],
	};
}

function idleCase(effort: Effort): Case {
	return {
		name: "idle",
		title: "While nothing comes in",
		traffic: `no datagrams; one rule is there; Sluice ${effort.quick ? "at once" : "when its CPU no longer falls: Bun compiles for some minutes"}`,
		columns: IDLE_COLUMNS,
		plot: { key: "cpuPercent", axis: "% of a core" },
		long: true,
		variants: [
			{
				label: "2 workers",
				...{ task: { ...ONE_TO_ONE, workers: 2 }, wire: PACKETS },
				measure: (lane) => idle(lane, effort),
			},
		],
	};
}

function putCase(effort: Effort): Case {
	return {
		name: "put",
		title: "From a rule's put to its first datagram",
		traffic: PUT_TRAFFIC,
		columns: PUT_COLUMNS,
		plot: { key: "p99", axis: "p99, ms" },
		sluiceOnly: "it has no rules",
		variants: [true, false].map((inUse) => ({
			label: inUse ? "interface in use" : "new interface",
			...{ task: ONE_TO_ONE, wire: PACKETS },
			measure: (lane) => putToFirst(lane, effort, inUse),
		})),
	};
}

function microCase(effort: Effort): Case {
	const variant = (label: string, program: string, what: string): Variant => ({
		...{ label, task: ONE_TO_ONE, wire: PACKETS },
		measure: (lane) => micro(lane, effort, program, what),
	});
	return {
		name: "micro",
		title: "Parsing and lookup by themselves",
		traffic: "no datagrams; frames and questions in memory, 10,000 rules",
		columns: MICRO_COLUMNS,
		plot: { key: "nanoseconds", axis: "ns" },
		sluiceOnly: "it has neither",
		long: true,
		variants: [
			variant("parse", "parse_bench", "parse, 1400 bytes, checksum vouched for"),
			variant("lookup", "lookup_bench", "lookup, 10,000 rules, any source"),
			variant(
				"lookup, each after the other",
				...(["lookup_bench", "lookup, 10,000 rules, each after the other"] as const),
			),
			variant("lookup, one source each", "lookup_bench", "lookup, 10,000 rules, one source each"),
		],
	};
}

export function allCases(effort: Effort): Case[] {
	return [
		cpuCase,
		lossFreeCase,
		latencyCase,
		fanOutCase,
		streamsCase,
		rulesCase,
		workersCase,
		realtimeCase,
		// Before 10,000 rules came and went.
		idleCase,
		putCase,
		applyCase,
		microCase,
	].map((make) => make(effort));
}
