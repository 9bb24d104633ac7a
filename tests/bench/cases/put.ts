/** From the request that puts a rule to the first datagram that leaves by it. */

import { resolve } from "node:path";
import { checkout } from "../../../scripts/owner.ts";
import { ADDRESSES, type Network } from "../network.ts";
import { addressAfter, IN, OUT } from "../peers/peer.ts";
import { type RuleText, rulesOf } from "../peers/sluice.ts";
import { percentile } from "../percentiles.ts";
import type { Column, Effort, Figures, Lane } from "./case.ts";

const BUN = `${checkout}/.tools/bin/bun`;
const PROBES = resolve(import.meta.dir, "../probes");
const GENERATOR = `${checkout}/build/sluice-gen`;
/** Of each stream: a datagram is on its way each half millisecond. */
const RATE_PPS = 2_000;
const THOROUGH_PUTS = 100;
const QUICK_PUTS = 5;
/** At once: so many streams wait for their rule. */
const STREAMS_MAX = 10;

export const PUT_TRAFFIC = `as many streams as rules to be put, up to ${STREAMS_MAX} at once, each of ${RATE_PPS} 64-byte packets/s, which nothing forwards before its rule is there`;

export const PUT_COLUMNS: readonly Column[] = [
	{ key: "p50", heading: "P50 ms", decimals: 1 },
	{ key: "p99", heading: "P99 ms", decimals: 1 },
	{ key: "max", heading: "MAX ms", decimals: 1 },
	{ key: "answeredP50", heading: "ANSWERED P50 ms", decimals: 1 },
	{ key: "puts", heading: "PUTS" },
	{ key: "missing", heading: "NOTHING CAME" },
];

/** In other groups than the rules that are there. */
const FIRST_GROUP = addressAfter(IN.group, 4_096);

function rules(count: number): RuleText[] {
	return Array.from({ length: count }, (_, index) => ({
		name: `put-${index}`,
		input: { ...IN, group: addressAfter(FIRST_GROUP, index) },
		outputs: [{ interface: OUT.interface, address: OUT.group, port: OUT.port }],
	}));
}

function lines<T>(text: string): T[] {
	const whole = text.split("\n").filter(Boolean);
	return whole.map((line) => JSON.parse(line) as T);
}

async function listening(child: Bun.Subprocess<"ignore" | "pipe", "pipe", "pipe">): Promise<void> {
	let said = "";
	for await (const bytes of child.stderr) {
		said += new TextDecoder().decode(bytes);
		if (said.includes("listening")) return;
	}
	throw new Error(`the listener ended: ${said}`);
}

interface Put {
	readonly firstMs: number | undefined;
	readonly answeredMs: number;
}

/** Puts so many rules one after the other while datagrams for all of them come in. */
async function round(network: Network, credentials: string, count: number): Promise<Put[]> {
	const listener = network.dst.start([
		...[BUN, "--no-install", `${PROBES}/first-arrivals.ts`],
		...[ADDRESSES.sink, OUT.group, `${OUT.port}`],
	]);
	const arrivals = new Response(listener.stdout).text();
	await listening(listener);
	const generator = network.src.start([
		...[GENERATOR, "--to", `s0:${FIRST_GROUP}:${IN.port}`, "--rate", `${RATE_PPS}`, "--size", "64"],
		...["--count", "0", "--streams", `${count}`],
	]);
	const puts = await network.relay.must([BUN, "--no-install", `${PROBES}/put-rules.ts`, credentials], {
		input: JSON.stringify(rules(count)),
	});
	generator.kill("SIGTERM");
	await generator.exited;
	listener.kill("SIGTERM");
	const first = new Map(
		lines<{ stream: number; atMs: number }>(await arrivals).map(({ stream, atMs }) => [stream, atMs]),
	);
	return lines<{ atMs: number; answeredMs: number }>(puts).map(({ atMs, answeredMs }, stream) => {
		const firstAtMs = first.get(stream);
		return {
			firstMs: firstAtMs === undefined ? undefined : firstAtMs - atMs,
			answeredMs: answeredMs - atMs,
		};
	});
}

/** `inUse`: another rule keeps the input interface's sockets open; else each put has to make them. */
export async function putToFirst(lane: Lane, effort: Effort, inUse: boolean): Promise<Figures> {
	const { relay } = lane.running;
	if (relay === undefined) throw new Error("only Sluice has rules to put");
	const wanted = effort.quick ? QUICK_PUTS : THOROUGH_PUTS;
	const puts: Put[] = [];
	if (!inUse) for (const { name } of rulesOf(lane.task)) await relay.sluice("rule", "remove", name);
	while (puts.length < wanted) {
		const count = Math.min(STREAMS_MAX, wanted - puts.length);
		puts.push(...(await round(lane.network, `${relay.dataDir}/credentials/operator.json`, count)));
	}
	if (!inUse) await relay.applyRules(rulesOf(lane.task));
	const came = puts.flatMap(({ firstMs }) => (firstMs === undefined ? [] : [firstMs]));
	for (const { firstMs, answeredMs } of puts)
		lane.keep(firstMs === undefined ? { answeredMs } : { firstMs, answeredMs });
	const answeredP50 = percentile(
		puts.map(({ answeredMs }) => answeredMs),
		0.5,
	);
	const counts = { answeredP50, puts: puts.length, missing: puts.length - came.length };
	if (came.length === 0) return counts;
	return { p50: percentile(came, 0.5), p99: percentile(came, 0.99), max: Math.max(...came), ...counts };
}
