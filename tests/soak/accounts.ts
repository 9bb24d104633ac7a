/** The accounts of a round: every datagram that was sent is where somebody counted it. Pure. */

import type { Figures, InterfaceFigures, RuleFigures } from "../netns/lab/relay.ts";
import type { RecvReport } from "../netns/lab/traffic.ts";
import { BUNDLE_INPUT, BUNDLES, CHURNED, type Flow, STABLE_FLOWS, STABLE_INPUT } from "./flows.ts";

export interface FlowOutcome {
	readonly sent: number;
	readonly reports: readonly RecvReport[];
}

export interface RoundFigures {
	/** As published at the start and at the end, all of it settled. */
	readonly before: Figures;
	readonly after: Figures;
	readonly flows: ReadonlyMap<string, FlowOutcome>;
	/** By veth device: datagrams that it had no room for, which nobody else counts. */
	readonly lostOnWire: Readonly<Record<string, number>>;
}

function total(counts: Readonly<Record<string, number>>): number {
	return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function rule(figures: Figures, name: string): RuleFigures | undefined {
	return figures.rules.find((entry) => entry.name === name);
}

function input(figures: Figures, name: string): InterfaceFigures | undefined {
	return figures.interfaces.find((entry) => entry.interface === name);
}

function sentBy(flows: ReadonlyMap<string, FlowOutcome>, which: readonly Flow[]): number {
	return which.reduce((sum, { name }) => sum + (flows.get(name)?.sent ?? 0), 0);
}

/** How far one figure has come in the round. */
type Delta = (of: (figures: Figures) => number | undefined) => number;

function deltaOf({ before, after }: RoundFigures): Delta {
	return (of) => (of(after) ?? 0) - (of(before) ?? 0);
}

/** Kernel drops of the stable input in this round. */
export function kernelDrops(round: RoundFigures): number {
	return deltaOf(round)((figures) => input(figures, STABLE_INPUT)?.kernelDroppedFrames);
}

/** Datagrams of bundles that no rule received: dropped by the kernel, or truncated by a worker's end. */
export function bundleLoss(round: RoundFigures): number {
	const received = deltaOf(round)((figures) => rule(figures, "bundles")?.receivedPackets);
	return (round.flows.get(BUNDLES.name)?.sent ?? 0) - received;
}

function stableInput(round: RoundFigures): string[] {
	const delta = deltaOf(round);
	const at = (figures: Figures) => input(figures, STABLE_INPUT);
	const rules = STABLE_FLOWS.flatMap((flow) => flow.rules);
	const sent = sentBy(round.flows, STABLE_FLOWS) - (round.lostOnWire["s0"] ?? 0);
	const received = rules.reduce(
		(sum, { name }) => sum + delta((figures) => rule(figures, name)?.receivedPackets),
		0,
	);
	const captured = delta((figures) => at(figures)?.capturedFrames);
	const unmatched = delta((figures) => at(figures)?.unmatchedPackets);
	const dropped = delta((figures) => total(at(figures)?.droppedPackets ?? {}));
	const drops = kernelDrops(round);
	const found: string[] = [];
	if (captured + drops !== sent)
		found.push(
			`${STABLE_INPUT}: sent ${sent}, but captured ${captured} + kernel drops ${drops} = ${captured + drops}`,
		);
	if (received !== captured || unmatched !== 0 || dropped !== 0)
		found.push(
			`${STABLE_INPUT}: captured ${captured}, but its rules received ${received}, unmatched ${unmatched}, dropped ${dropped}`,
		);
	return found;
}

function stableRules(round: RoundFigures, flow: Flow): string[] {
	const delta = deltaOf(round);
	const sent = (round.flows.get(flow.name)?.sent ?? 0) / flow.streams;
	return flow.rules.flatMap(({ name, outputs }) => {
		const found: string[] = [];
		const of = (figures: Figures) => rule(figures, name);
		const received = delta((figures) => of(figures)?.receivedPackets);
		const forwarded = delta((figures) => of(figures)?.forwardedPackets);
		const dropped = delta((figures) => total(of(figures)?.droppedPackets ?? {}));
		if (received > sent) found.push(`rule ${name}: sent ${sent}, but received ${received}`);
		if (received !== forwarded + dropped)
			found.push(`rule ${name}: received ${received}, but forwarded ${forwarded} + dropped ${dropped}`);
		outputs.forEach(({ address }, index) => {
			const output = (figures: Figures) => of(figures)?.outputs[index];
			const eligible = delta((figures) => output(figures)?.eligiblePackets);
			const handed = delta((figures) => output(figures)?.sentPackets);
			const failed = delta((figures) => output(figures)?.failedPackets);
			if (eligible !== forwarded || handed !== eligible || failed !== 0)
				found.push(
					`rule ${name} to ${address}: forwarded ${forwarded}, eligible ${eligible}, sent ${handed}, failed ${failed}`,
				);
		});
		return found;
	});
}

/** What each listener got is what the output it listens to sent. */
function listeners(round: RoundFigures, flow: Flow): string[] {
	const delta = deltaOf(round);
	const found: string[] = [];
	for (const report of round.flows.get(flow.name)?.reports ?? []) {
		for (const stream of report.streams) {
			const sent = delta((figures) => sentTo(figures, flow, stream.destination));
			const wire = (round.lostOnWire["r1"] ?? 0) + (round.lostOnWire["r2"] ?? 0);
			const missing = sent - stream.receivedPackets - stream.receiverDroppedPackets;
			if (missing < 0 || missing > wire)
				found.push(
					`${stream.destination}: sent ${sent}, received ${stream.receivedPackets} + ${stream.receiverDroppedPackets} of the receiver's own drops, ${wire} lost on wires; its receiver was ended by: ${report.endedBy}`,
				);
		}
	}
	return found;
}

function sentTo(figures: Figures, flow: Flow, destination: string): number | undefined {
	const names = new Set(flow.rules.map(({ name }) => name));
	return figures.rules
		.filter(({ name }) => names.has(name))
		.flatMap(({ outputs }) => outputs)
		.find(({ address, port }) => `${address}:${port}` === destination)?.sentPackets;
}

/** Nothing twice, nothing out of order, nothing but what was sent: this holds for every flow. */
function order(round: RoundFigures): string[] {
	return ALL_FLOWS.flatMap(({ name }) => {
		const bad = (round.flows.get(name)?.reports ?? []).filter(
			(report) =>
				report.duplicatedPackets + report.reorderedPackets + report.corruptPackets + report.foreignPackets >
				0,
		);
		return bad.map(
			(report) =>
				`flow ${name}: twice ${report.duplicatedPackets}, out of order ${report.reorderedPackets}, corrupt ${report.corruptPackets}, foreign ${report.foreignPackets}`,
		);
	});
}

function bundles(round: RoundFigures): string[] {
	const lost = bundleLoss(round);
	const delta = deltaOf(round);
	const at = (figures: Figures) => input(figures, BUNDLE_INPUT);
	const drops = delta((figures) => at(figures)?.kernelDroppedFrames);
	const truncated = delta((figures) => at(figures)?.droppedPackets["TRUNCATED"]);
	// A frame that was dropped or truncated may have been a whole bundle.
	const most = (drops + truncated + (round.lostOnWire["s3"] ?? 0)) * BUNDLES.burst;
	if (lost >= 0 && lost <= most) return [];
	return [`bundles: ${lost} lost, but kernel drops ${drops} and truncated ${truncated} frames`];
}

/** What does not add up; empty when everything does. */
export function findFaults(round: RoundFigures): string[] {
	return [
		...stableInput(round),
		...[...STABLE_FLOWS, BUNDLES].flatMap((flow) => [...stableRules(round, flow), ...listeners(round, flow)]),
		...bundles(round),
		...order(round),
	];
}

/** Figures of the stable flows that are smaller than they were. */
export function stepsBack(before: Figures, after: Figures): string[] {
	const found: string[] = [];
	const compare = (what: string, was: number | undefined, is: number | undefined) => {
		if ((is ?? 0) < (was ?? 0)) found.push(`${what} stepped back from ${was} to ${is}`);
	};
	for (const { name } of [...STABLE_FLOWS, BUNDLES].flatMap((flow) => flow.rules)) {
		const [was, is] = [rule(before, name), rule(after, name)];
		compare(`received of ${name}`, was?.receivedPackets, is?.receivedPackets);
		compare(`forwarded of ${name}`, was?.forwardedPackets, is?.forwardedPackets);
		was?.outputs.forEach((output, index) => {
			compare(`sent of ${name} to ${output.address}`, output.sentPackets, is?.outputs[index]?.sentPackets);
		});
	}
	for (const name of [STABLE_INPUT, BUNDLE_INPUT]) {
		const [was, is] = [input(before, name), input(after, name)];
		compare(`captured on ${name}`, was?.capturedFrames, is?.capturedFrames);
		compare(`kernel drops on ${name}`, was?.kernelDroppedFrames, is?.kernelDroppedFrames);
	}
	return found;
}

export const ALL_FLOWS: readonly Flow[] = [...STABLE_FLOWS, BUNDLES, CHURNED];
