import { expect, test } from "bun:test";
import { openTerminal } from "../../../services/cli/terminal.ts";
import type { Row } from "../bench.ts";
import { allCases } from "../cases/all.ts";
import { type Case, QUICK } from "../cases/case.ts";
import { plot } from "./plot.ts";
import { caseTable } from "./table.ts";

const { colors } = openTerminal({ NO_COLOR: "1" });

function caseOf(name: string): Case {
	const found = allCases(QUICK).find((one) => one.name === name);
	if (found === undefined) throw new Error(`no case ${name}`);
	return found;
}

function row(peer: string, p99: number | undefined): Row {
	return {
		...{ case: "latency", variant: "5 k/s", wire: "individual packets", peer, samples: [] },
		skipped: p99 === undefined ? "it is not installed" : undefined,
		figures:
			p99 === undefined ? {} : { p50: p99 / 2, p99, p999: 2 * p99, lostPercent: 0, stolenPercent: 0.5 },
	};
}

test("a table says what was on the wire, each peer's figures, and their multiple of socat's", () => {
	const table = caseTable(caseOf("latency"), [row("sluice", 30), row("socat", 40)], colors).split("\n");
	expect(table.slice(0, 2)).toEqual([
		"One-way latency",
		expect.stringMatching(/^On the wire: one stream of 1400-byte payloads, .*\.$/),
	]);
	expect(table.slice(2).map((line) => line.split(/ {2,}/))).toEqual([
		["VARIANT", "PEER", "P50 µs", "P99 µs", "P99.9 µs", "LOST %", "STOLEN %", "p99, µs × socat's"],
		["5 k/s", "sluice", "15.0", "30.0", "60.0", "0.00", "0.5", "0.75"],
		["", "socat", "20.0", "40.0", "80.0", "0.00", "0.5", "1.00"],
		[""],
	]);
});

test("without socat there are no multiples, and a peer that is not there says so", () => {
	const rows = [row("sluice", 30), row("socat", undefined), { ...row("sluice", 1), case: "cpu" }];
	const table = caseTable(caseOf("latency"), rows, colors).split("\n");
	expect(table).toHaveLength(6);
	expect(table[2]).toEndWith("STOLEN %");
	expect(table[4]).toMatch(/ socat +– +– +– +– +– {2}skipped: it is not installed$/);
});

test("a plot has a bar for each peer that has a figure", () => {
	const svg = plot(caseOf("latency"), [row("sluice", 30), row("socat", undefined), row("reference", 35)]);
	expect(svg).toStartWith("<svg ");
	expect(svg).toEndWith("</svg>");
	for (const text of ["One-way latency", ">sluice<", ">reference<", ">5 k/s<", ">30<", ">35<"])
		expect(svg).toContain(text);
	expect(svg).not.toContain("socat");
	expect(plot(caseOf("latency"), [row("socat", undefined)])).toBeUndefined();
});
