/** One load on one peer, and what became of it. */

import { readFileSync } from "node:fs";
import { gen, type RecvReport, recv } from "../netns/lab/traffic.ts";
import { type Load, perStream } from "./load.ts";
import type { Network } from "./network.ts";
import { IN, OUT, type Running, type Task } from "./peers/peer.ts";
import { spent, threadTimes } from "./schedstat.ts";
import { cpuTimes, stolenPercent } from "./stolen.ts";

export interface Trial extends Load {
	readonly sentPackets: number;
	/** What the generator reached. */
	readonly offeredPps: number;
	/** Datagrams that should have come out. */
	readonly expectedPackets: number;
	/** The sink took one of 16, at random. */
	readonly sampled: boolean;
	/** Distinct ones that the sink took, of the outputs that it listens to. */
	readonly receivedPackets: number;
	/** That left the relay for those and did not come: the sink's socket was full, which is not the relay's loss. */
	readonly sinkDroppedPackets: number;
	/** That never left the relay. */
	readonly lostPackets: number;
	readonly duplicatedPackets: number;
	readonly reorderedPackets: number;
	readonly corruptPackets: number;
	readonly latencyMicroseconds: RecvReport["latencyMicroseconds"];
	/** Of all the relay's threads, from before the first datagram until nothing more came out. */
	readonly cpuNs: number;
	readonly wallNs: number;
	/** Of each datagram that came out. */
	readonly cpuNsPerPacket: number;
	readonly threadsEnded: number;
	/** From the generator's end until the last datagram left: what was still queued in the relay. */
	readonly drainMs: number;
	/** What the hypervisor took of the machine meanwhile. */
	readonly stolenPercent: number;
}

function sink({ arrivesAt = OUT }: Pick<Running, "arrivesAt">): string {
	return `d0:${arrivesAt.group}:${arrivesAt.port}`;
}

/** More than this, and the sink takes a sample: what it can't keep up with, it would take in the worst moments alone. */
const VERIFIED_PPS_MAX = 100_000;
const SAMPLE = 16;

const GENERATOR = `s0:${IN.group}:${IN.port}`;
const SILENCE_SECONDS = 0.5;
/** After the generator's end, when nothing at all has come. */
const NOTHING_CAME_MS = 2_000;
const POLL_MS = 5;
/** Without all being out, so much silence says that the relay has nothing more: others use this machine too. */
const QUIET_MS = 250;
const DRAIN_DEADLINE_MS = 5_000;

/** Of IPv4 and UDP, and of Ethernet, which a veth does not count whose other end merges. */
const HEADER_BYTES = { merging: 28, plain: 42 } as const;

/** Datagrams of so many bytes that left by the relay's output so far; undefined when the relay is gone. */
function leftDatagrams(
	{ wire, sinkMerges }: Network,
	pids: readonly number[],
	sizeBytes: number,
): number | undefined {
	for (const pid of pids) {
		try {
			const figures = /^\s*r1:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/net/dev`, "utf8"))?.[1];
			const [bytes, packets] = (figures?.split(/\s+/) ?? []).slice(8).map(Number);
			if (bytes === undefined || packets === undefined) continue;
			if (wire.egress === "packets") return packets;
			// Super-packets of datagrams that are all of the same size.
			const headerBytes = sinkMerges ? HEADER_BYTES.merging : HEADER_BYTES.plain;
			return Math.round((bytes - packets * headerBytes) / sizeBytes);
		} catch {
			// That one has ended.
		}
	}
	return undefined;
}

interface Drained {
	/** Of what was expected. */
	readonly leftPackets: number;
	/** Until the last one left. */
	readonly drainMs: number;
}

/** Waits until so many have left, or nothing has for a while. */
async function drained(look: () => number | undefined, before: number, expected: number): Promise<Drained> {
	const beganAt = performance.now();
	let left = look();
	let lastAt = beganAt;
	while (left !== undefined && left - before < expected) {
		const now = performance.now();
		if (now - lastAt > QUIET_MS || now - beganAt > DRAIN_DEADLINE_MS) break;
		await Bun.sleep(POLL_MS);
		const leftNow = look();
		if (leftNow !== left) lastAt = performance.now();
		left = leftNow;
	}
	const leftPackets = Math.min(expected, (left ?? before) - before);
	return { leftPackets, drainMs: lastAt - beganAt };
}

export async function tryLoad(
	network: Network,
	running: Pick<Running, "arrivesAt">,
	task: Task,
	load: Load,
): Promise<Trial> {
	const { rate, count } = perStream(load, task.streams);
	const sampled = load.ratePps > VERIFIED_PPS_MAX;
	// Of a fan-out, to the first output: a socket that takes them all would keep the relay's memory from being used anew.
	const receiver = await recv(network.dst, {
		...{ in: sink(running), expect: count, idleSeconds: SILENCE_SECONDS },
		...{ streams: task.streams, merged: network.sinkMerges },
		yields: load.sinkYields ?? false,
		...(sampled ? { sample: SAMPLE } : {}),
	});
	const pids = await network.relayPids();
	const left = () => leftDatagrams(network, pids, load.sizeBytes);
	const leftBefore = left() ?? 0;
	const before = threadTimes(pids);
	const cpusBefore = cpuTimes();
	const beganAt = Bun.nanoseconds();
	const sent = await gen(network.src, {
		...{ to: GENERATOR, rate, count, size: load.sizeBytes, burst: load.burst },
		...{ streams: task.streams, segment: load.burst > 1 },
	});
	const expectedPackets = sent.sentPackets * task.copies;
	const { leftPackets, drainMs } = await drained(left, leftBefore, expectedPackets);
	const { cpuNs, threadsEnded } = spent(before, threadTimes(pids));
	const wallNs = Bun.nanoseconds() - beganAt;
	const stolen = stolenPercent(cpusBefore, cpuTimes());
	const late = Bun.sleep(NOTHING_CAME_MS).then(() => undefined);
	const report = (await Promise.race([receiver.report(), late])) ?? (await receiver.stop());
	const receivedPackets = report.receivedPackets - report.duplicatedPackets;
	// What came out more than once, or was read late, can't be more than what left.
	const out = Math.max(leftPackets, receivedPackets);
	const heardPackets = Math.floor(out / task.copies);
	return {
		...load,
		sentPackets: sent.sentPackets,
		offeredPps: sent.packetsPerSecond,
		expectedPackets,
		receivedPackets,
		sampled,
		sinkDroppedPackets: sampled ? 0 : Math.max(0, heardPackets - receivedPackets),
		lostPackets: expectedPackets - out,
		duplicatedPackets: report.duplicatedPackets,
		reorderedPackets: report.reorderedPackets,
		corruptPackets: report.corruptPackets,
		latencyMicroseconds: report.latencyMicroseconds,
		...{ cpuNs, wallNs, threadsEnded, drainMs },
		cpuNsPerPacket: out > 0 ? cpuNs / out : 0,
		stolenPercent: stolen,
	};
}

const READY_DEADLINE_MS = 15_000;
const PROBE_RATE_PPS = 1_000;
const PROBE_BYTES = 64;
/** The receiver ends after 200 ms of silence. */
const PROBE_INTERVAL_MS = 500;

/** Waits until a datagram of each stream has come out of each output. Answers whether that is so. */
export async function forwards(network: Network, task: Task, running: Running): Promise<boolean> {
	const outputs = task.copies > 1 ? { copies: task.copies } : { streams: task.streams };
	const receiver = await recv(network.dst, {
		in: sink(running),
		expect: 1,
		idleSeconds: 2 * READY_DEADLINE_MS,
		...outputs,
	});
	const end = performance.now() + READY_DEADLINE_MS;
	const report = receiver.report();
	let sending = true;
	const send = async () => {
		while (sending && running.alive() && performance.now() < end) {
			await gen(network.src, {
				...{ to: GENERATOR, rate: PROBE_RATE_PPS, count: 1, size: PROBE_BYTES, streams: task.streams },
			});
			await Promise.race([report, Bun.sleep(PROBE_INTERVAL_MS)]);
		}
		if (sending) await receiver.stop();
	};
	const [{ streams }] = await Promise.all([report.finally(() => (sending = false)), send()]);
	return streams.every(({ receivedPackets }) => receivedPackets > 0);
}
