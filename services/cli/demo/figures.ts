import { z } from "zod";

/** 64-bit counts are texts in JSON; the demo's stay far below what a number holds. */
const count = z.union([z.number(), z.string().regex(/^\d+$/)]).transform(Number);

/** What `sluice gen --json` prints, as far as the demo reads it. */
export const generatorReport = z.object({ sentPackets: count });

/** What `sluice recv --json` prints, as far as the demo reads it. */
export const receiverReport = z.object({
	receivedPackets: count,
	lostPackets: count,
	duplicatedPackets: count,
	reorderedPackets: count,
	corruptPackets: count,
	foreignPackets: count,
});
export type ReceiverReport = z.output<typeof receiverReport>;

/** What `sluice stats demo --json` prints, as far as the demo reads it. */
export const statsReport = z.object({
	rules: z.array(
		z.object({
			receivedPackets: count,
			forwardedPackets: count,
			droppedPackets: z.record(z.string(), count),
			packetsPerSecond: z.number().optional(),
			outputs: z.array(
				z.object({ address: z.string(), sentPackets: count, packetsPerSecond: z.number().optional() }),
			),
		}),
	),
	interfaces: z.array(z.object({ kernelDroppedFrames: count })),
	workers: z.array(z.object({ worker: z.number(), gauges: z.object({ batches: count }).optional() })),
});
export type StatsReport = z.output<typeof statsReport>;

/** What `sluice worker list --json` prints, as far as the demo reads it. */
export const workersReport = z.object({
	workers: z.array(
		z.object({ worker: z.number(), pid: z.number(), state: z.string(), restarts: z.number() }),
	),
});

/** The end figures: what `demo --json` prints. */
export interface Figures {
	sentPackets: number;
	/** As the relay counted it; drops include the kernel's. */
	relay: { receivedPackets: number; forwardedPackets: number; droppedPackets: number };
	outputs: OutputFigures[];
	worker: { killedPid: number; startedPid: number; restarts: number };
}

export interface OutputFigures extends ReceiverReport {
	to: string;
	/** As the relay counted it. */
	sentPackets: number;
}

/** As proto3 JSON has it: counts are 64-bit numbers and so texts; process ids and restarts are numbers. */
export function figuresToJson(figures: Figures): string {
	return JSON.stringify(figures, (key, value) => (key.endsWith("Packets") ? String(value) : value));
}

/** What is not as it should be, one line each; empty: every figure is right. */
export function findFaults(figures: Figures): string[] {
	const { sentPackets, relay, outputs, worker } = figures;
	const faults: string[] = [];
	const expect = (what: string, actual: number, expected: number) => {
		if (actual !== expected) faults.push(`${what}: ${actual} instead of ${expected}`);
	};
	expect("received by the relay", relay.receivedPackets, sentPackets);
	expect("forwarded by the relay", relay.forwardedPackets, sentPackets);
	expect("dropped by the relay", relay.droppedPackets, 0);
	for (const output of outputs) {
		expect(`sent to ${output.to}`, output.sentPackets, sentPackets);
		expect(`received at ${output.to}`, output.receivedPackets, sentPackets);
		expect(`lost on the way to ${output.to}`, output.lostPackets, 0);
		expect(`duplicated on the way to ${output.to}`, output.duplicatedPackets, 0);
		expect(`out of order at ${output.to}`, output.reorderedPackets, 0);
		expect(`corrupt at ${output.to}`, output.corruptPackets, 0);
		expect(`foreign at ${output.to}`, output.foreignPackets, 0);
	}
	if (worker.restarts < 1 || worker.startedPid === worker.killedPid) {
		faults.push(`the killed worker ${worker.killedPid} was not started again`);
	}
	return faults;
}
