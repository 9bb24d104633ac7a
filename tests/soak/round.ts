/** One round: datagrams and disturbances for a while, then silence, and the accounts. */

import { until } from "../netns/lab/commands.ts";
import type { Figures } from "../netns/lab/relay.ts";
import { gen, type Receiver, type RecvReport, recv } from "../netns/lab/traffic.ts";
import { ALL_FLOWS, bundleLoss, findFaults, kernelDrops, type RoundFigures, stepsBack } from "./accounts.ts";
import { Churn, PATIENCE_SECONDS } from "./churn.ts";
import { CHURNED, type Flow } from "./flows.ts";
import type { Memory } from "./memory.ts";
import type { Plan } from "./plan.ts";
import { differences, type Holdings, holdings, processesOf } from "./processes.ts";
import type { Rig } from "./rig.ts";

export const LOAD_SECONDS = 20;
const WATCH_MS = 1_500;
/** Generous: whatever a busy machine does, counters come each second. */
const SETTLE_DEADLINE_MS = 30_000;
const LISTEN_DEADLINE_MS = 15_000;

/** A worker's line on a batch that it cannot take up where its predecessor left it. */
const SENT_AGAIN = /shard \d+: a predecessor's batch of table \d+ is sent again by table \d+/g;

export interface RoundResult {
	readonly faults: readonly string[];
	readonly sent: number;
	readonly kernelDrops: number;
	readonly bundlesLost: number;
	readonly receiverDrops: number;
	readonly churn: Churn;
	/** Where the next round starts. */
	readonly after: Figures;
	readonly holdings: Holdings;
}

/** Asks for figures all the while; they must not step back, and must be answered unless there is an excuse. */
async function watch(rig: Rig, churn: Churn, memory: Memory, before: Figures, lasts: () => boolean) {
	let last = before;
	let answeredMs = performance.now();
	while (lasts()) {
		const askedAtMs = performance.now();
		await memory.sample(rig);
		const figures = await rig.relay.figures().catch((error: Error) => {
			if (churn.excuses(askedAtMs)) return undefined;
			churn.repeated.push("stats");
			if (performance.now() - answeredMs > PATIENCE_SECONDS * 1_000)
				churn.faults.push(`no figures for ${PATIENCE_SECONDS} s: ${error.message.trim()}`);
			return undefined;
		});
		if (figures !== undefined || churn.excuses(askedAtMs)) answeredMs = performance.now();
		if (figures !== undefined) {
			churn.faults.push(...stepsBack(last, figures));
			last = figures;
		}
		await Bun.sleep(Math.max(0, WATCH_MS - (performance.now() - askedAtMs)));
	}
}

function countOf(flow: Flow): number {
	return flow.rate * LOAD_SECONDS;
}

function send(rig: Rig, flow: Flow): Promise<number> {
	const { to, streams, rate, size, burst, segment } = flow;
	return gen(rig.lab.src, { to, streams, rate, size, burst, segment, count: countOf(flow) }).then(
		({ sentPackets }) => sentPackets,
	);
}

async function listen(rig: Rig): Promise<Map<string, Receiver[]>> {
	const receivers = new Map<string, Receiver[]>();
	for (const flow of ALL_FLOWS) {
		const expected = flow === CHURNED ? {} : { expect: countOf(flow) };
		receivers.set(
			flow.name,
			await Promise.all(
				flow.listening.map((listening) =>
					recv(rig.lab.dst, { ...listening, ...expected, idleSeconds: 4 * LOAD_SECONDS }),
				),
			),
		);
	}
	return receivers;
}

/** When all came that is expected, or when those that have something to wait for have waited long enough. */
async function reports(receivers: readonly Receiver[], name: string): Promise<RecvReport[]> {
	return Promise.all(
		receivers.map(async (receiver) => {
			if (name === CHURNED.name) return receiver.stop();
			const late = Bun.sleep(LISTEN_DEADLINE_MS).then(() => undefined);
			return (await Promise.race([receiver.report(), late])) ?? receiver.stop();
		}),
	);
}

interface Load {
	readonly sent: ReadonlyMap<string, number>;
	readonly reports: ReadonlyMap<string, readonly RecvReport[]>;
}

async function load(rig: Rig, plan: Plan, churn: Churn, memory: Memory, before: Figures): Promise<Load> {
	const receivers = await listen(rig);
	let flowing = true;
	const watching = watch(rig, churn, memory, before, () => flowing);
	const sending = Promise.all(ALL_FLOWS.map(async (flow) => [flow.name, await send(rig, flow)] as const));
	const [sent] = await Promise.all([sending, churn.carryOut(plan)]);
	flowing = false;
	await watching;
	const heard = await Promise.all(
		Array.from(receivers, async ([name, some]) => [name, await reports(some, name)] as const),
	);
	return { sent: new Map(sent), reports: new Map(heard) };
}

/** Back to the rules of the start, with every worker at work. */
async function restore(rig: Rig): Promise<string[]> {
	let why = "";
	const attempt = async () => {
		await rig.restoreRules();
		const workers = await rig.relay.workers();
		if (workers.some(({ state }) => state !== "RUNNING")) throw new Error(JSON.stringify(workers));
		return [];
	};
	const tryAgain = () =>
		attempt().catch((error: Error) => {
			why = error.message.trim();
			return undefined;
		});
	return until("rules and workers are back", tryAgain, SETTLE_DEADLINE_MS).catch(() => [
		`rules and workers are not back after ${SETTLE_DEADLINE_MS / 1_000} s: ${why}`,
	]);
}

/** What keeps being wrong while everything settles; empty as soon as nothing is. */
async function settle(probe: () => Promise<string[]>): Promise<string[]> {
	let wrong: string[] = [];
	const right = async () => {
		wrong = await probe().catch((error: Error) => [error.message.trim()]);
		return wrong.length === 0 ? true : undefined;
	};
	await until("it settles", right, SETTLE_DEADLINE_MS, 300).catch(() => undefined);
	return wrong;
}

/** A process that is another one, without anybody having ended it. */
function unexpectedEnds(before: Map<string, number>, after: Map<string, number>, churn: Churn): string[] {
	return [...before].flatMap(([role, pid]) => {
		if (after.get(role) === pid || churn.ended.has(role)) return [];
		return [`${role} ended by itself: process ${pid} before, ${after.get(role) ?? "none"} now`];
	});
}

export interface RoundStart {
	readonly rig: Rig;
	readonly memory: Memory;
	readonly plan: Plan;
	readonly before: Figures;
	/** What every process held at the end of the first round; undefined in that round. */
	readonly reference: Holdings | undefined;
}

function difference(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
	return Object.fromEntries(
		Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]),
	);
}

export async function playRound({ rig, memory, plan, before, reference }: RoundStart): Promise<RoundResult> {
	const { lab, relay } = rig;
	const logged = relay.log.length;
	const wireBefore = await rig.lostOnWire();
	const pidsBefore = await processesOf(lab.relay, relay.pid);
	const churn = new Churn(rig);
	const { sent, reports: heard } = await load(rig, plan, churn, memory, before);
	const faults = [...churn.faults, ...(await restore(rig))];
	const lostOnWire = difference(wireBefore, await rig.lostOnWire());
	const flows = new Map(
		Array.from(sent, ([name, count]) => [name, { sent: count, reports: heard.get(name) ?? [] }]),
	);
	faults.push(...(relay.log.slice(logged).match(SENT_AGAIN) ?? []));
	let round: RoundFigures = { before, after: before, flows, lostOnWire };
	faults.push(
		...(await settle(async () => {
			round = { ...round, after: await relay.figures() };
			return [...stepsBack(before, round.after), ...findFaults(round)];
		})),
	);
	let held = await holdings(lab.relay, relay.pid);
	if (reference !== undefined) {
		faults.push(
			...(await settle(async () => {
				held = await holdings(lab.relay, relay.pid);
				return differences(reference, held);
			})),
		);
	}
	faults.push(...unexpectedEnds(pidsBefore, await processesOf(lab.relay, relay.pid), churn));
	return {
		faults,
		sent: [...sent.values()].reduce((sum, count) => sum + count, 0),
		kernelDrops: kernelDrops(round),
		bundlesLost: bundleLoss(round),
		receiverDrops: [...heard.values()].flat().reduce((sum, report) => sum + report.receiverDroppedPackets, 0),
		churn,
		after: round.after,
		holdings: held,
	};
}
