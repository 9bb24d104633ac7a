/** One load on one peer, and what became of it. */

import { readFileSync } from "node:fs";
import { gen, type RecvReport, recv } from "../netns/lab/traffic.ts";
import { type Load, perStream } from "./load.ts";
import type { Network } from "./network.ts";
import { IN, OUT, type Running, type Task } from "./peers/peer.ts";
import { spent, threadTimes } from "./schedstat.ts";

export interface Trial extends Load {
	readonly sentPackets: number;
	/** What the generator reached. */
	readonly offeredPps: number;
	/** Datagrams that should have come out. */
	readonly expectedPackets: number;
	/** Distinct ones that the sink took. */
	readonly receivedPackets: number;
	/** That reached the sink's socket while it was full: the sink's loss, not the relay's. */
	readonly sinkDroppedPackets: number;
	/** All others that did not come. */
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
}

function sink({ arrivesAt = OUT }: Pick<Running, "arrivesAt">): string {
	return `d0:${arrivesAt.group}:${arrivesAt.port}`;
}

const GENERATOR = `s0:${IN.group}:${IN.port}`;
const LEAST_URGENT = 19;
const SILENCE_SECONDS = 0.5;
/** After the generator's end, when nothing at all has come. */
const NOTHING_CAME_MS = 2_000;
const POLL_MS = 5;
/** Without all being out, so much silence says that the relay has nothing more: others use this machine too. */
const QUIET_MS = 250;
const DRAIN_DEADLINE_MS = 5_000;

/** Datagrams that left by the relay's output so far; undefined when the relay is gone. */
function leftPackets(pids: readonly number[]): number | undefined {
	for (const pid of pids) {
		try {
			const figures = /^\s*r1:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/net/dev`, "utf8"))?.[1];
			if (figures !== undefined) return Number(figures.split(/\s+/)[9]);
		} catch {
			// That one has ended.
		}
	}
	return undefined;
}

/**
 * Waits until so many have left, or nothing has for a while. Answers how long it took until the last one;
 * super-packets count as one each, so that theirs always ends in silence.
 */
async function drained(pids: readonly number[], leftBefore: number, expected: number): Promise<number> {
	const beganAt = performance.now();
	let left = leftPackets(pids);
	let lastAt = beganAt;
	while (left !== undefined && left - leftBefore < expected) {
		const now = performance.now();
		if (now - lastAt > QUIET_MS || now - beganAt > DRAIN_DEADLINE_MS) break;
		await Bun.sleep(POLL_MS);
		const leftNow = leftPackets(pids);
		if (leftNow !== left) lastAt = performance.now();
		left = leftNow;
	}
	return lastAt - beganAt;
}

export async function tryLoad(
	network: Network,
	running: Pick<Running, "arrivesAt">,
	task: Task,
	load: Load,
): Promise<Trial> {
	const { rate, count } = perStream(load, task.streams);
	const outputs = task.copies > 1 ? { copies: task.copies } : { streams: task.streams };
	const receiver = await recv(network.dst, {
		...{ in: sink(running), expect: count, idleSeconds: SILENCE_SECONDS },
		...outputs,
		...(load.sinkYields ? { niceness: LEAST_URGENT } : {}),
	});
	const pids = await network.relayPids();
	const leftBefore = leftPackets(pids) ?? 0;
	const before = threadTimes(pids);
	const beganAt = Bun.nanoseconds();
	const sent = await gen(network.src, {
		...{ to: GENERATOR, rate, count, size: load.sizeBytes, burst: load.burst },
		...{ streams: task.streams, segment: load.burst > 1 },
	});
	const drainMs = await drained(pids, leftBefore, sent.sentPackets * task.copies);
	const { cpuNs, threadsEnded } = spent(before, threadTimes(pids));
	const wallNs = Bun.nanoseconds() - beganAt;
	const late = Bun.sleep(NOTHING_CAME_MS).then(() => undefined);
	const report = (await Promise.race([receiver.report(), late])) ?? (await receiver.stop());
	const receivedPackets = report.receivedPackets - report.duplicatedPackets;
	const out = receivedPackets + report.receiverDroppedPackets;
	return {
		...load,
		sentPackets: sent.sentPackets,
		offeredPps: sent.packetsPerSecond,
		expectedPackets: sent.sentPackets * task.copies,
		receivedPackets,
		sinkDroppedPackets: report.receiverDroppedPackets,
		lostPackets: Math.max(0, report.lostPackets - report.receiverDroppedPackets),
		duplicatedPackets: report.duplicatedPackets,
		reorderedPackets: report.reorderedPackets,
		corruptPackets: report.corruptPackets,
		latencyMicroseconds: report.latencyMicroseconds,
		...{ cpuNs, wallNs, threadsEnded, drainMs },
		cpuNsPerPacket: out > 0 ? cpuNs / out : 0,
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
