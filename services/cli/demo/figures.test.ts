import { expect, test } from "bun:test";
import { createColors } from "picocolors";
import { type Figures, figuresToJson, findFaults, receiverReport, statsReport } from "./figures.ts";
import { formatFigures } from "./narration.ts";

const perfect = {
	receivedPackets: 10,
	lostPackets: 0,
	duplicatedPackets: 0,
	reorderedPackets: 0,
	corruptPackets: 0,
	foreignPackets: 0,
};
const right: Figures = {
	sentPackets: 10,
	relay: { receivedPackets: 10, forwardedPackets: 10, droppedPackets: 0 },
	outputs: [{ to: "studio", sentPackets: 10, ...perfect }],
	worker: { killedPid: 7, startedPid: 8, restarts: 1 },
};

test("counts are texts in JSON, process ids and restarts numbers", () => {
	expect(JSON.parse(figuresToJson(right))).toMatchObject({
		sentPackets: "10",
		relay: { droppedPackets: "0" },
		outputs: [{ to: "studio", sentPackets: "10", lostPackets: "0" }],
		worker: { killedPid: 7, startedPid: 8, restarts: 1 },
	});
});

test("the last table fits 80 columns", () => {
	const outputs = right.outputs.map((output) => ({
		...output,
		to: "studio 239.10.1.1",
		receivedPackets: 90_000,
	}));
	const table = formatFigures({ ...right, sentPackets: 90_000, outputs }, createColors(false));
	expect(table).toContain("90,000");
	expect(table.split("\n").filter((line) => line.length > 80)).toEqual([]);
});

test("right figures have no fault", () => {
	expect(findFaults(right)).toEqual([]);
});

for (const [field, value] of [
	["receivedPackets", 9],
	["lostPackets", 1],
	["duplicatedPackets", 1],
	["reorderedPackets", 1],
	["corruptPackets", 1],
	["foreignPackets", 1],
	["sentPackets", 11],
] as const) {
	test(`${field} of ${value} at a receiver is a fault`, () => {
		const [output] = right.outputs;
		const figures = { ...right, outputs: output ? [{ ...output, [field]: value }] : [] };
		expect(findFaults(figures)).toHaveLength(1);
	});
}

test("a relay that counts something else is a fault", () => {
	expect(
		findFaults({ ...right, relay: { receivedPackets: 9, forwardedPackets: 8, droppedPackets: 1 } }),
	).toHaveLength(3);
});

test("a worker that was not started again is a fault", () => {
	expect(findFaults({ ...right, worker: { killedPid: 7, startedPid: 0, restarts: 0 } })).toHaveLength(1);
	expect(findFaults({ ...right, worker: { killedPid: 7, startedPid: 7, restarts: 0 } })).toHaveLength(1);
});

test("reports are read with counts as texts or numbers", () => {
	expect(receiverReport.parse({ ...perfect, receivedPackets: "10", streams: [] })).toEqual(perfect);
	const output = {
		interface: "r1",
		address: "239.10.1.1",
		port: 6001,
		sentPackets: "10",
		packetsPerSecond: 5,
	};
	const stats = {
		rules: [
			{
				name: "demo",
				receivedPackets: "10",
				forwardedPackets: "10",
				droppedPackets: {},
				packetsPerSecond: 5,
				outputs: [output],
			},
		],
		interfaces: [{ host: "relay", kernelDroppedFrames: "0" }],
		workers: [{ host: "relay", worker: 1, gauges: { batches: "4" } }],
		nextPageToken: "",
	};
	expect(statsReport.parse(stats).rules[0]?.outputs[0]?.sentPackets).toBe(10);
});
