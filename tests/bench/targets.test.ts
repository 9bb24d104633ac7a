import { expect, test } from "bun:test";
import { openTerminal } from "../../services/cli/terminal.ts";
import type { Row } from "./bench.ts";
import { allCases } from "./cases/all.ts";
import { THOROUGH } from "./cases/case.ts";
import { verdictTable } from "./report/verdicts.ts";
import { TARGETS, verdicts } from "./targets.ts";

function row(peer: string, figures: Row["figures"], skipped?: string): Row {
	const of = { case: "loss-free", variant: "1400 B, bursts of 32, packets", wire: "individual packets" };
	return { ...of, peer, skipped, figures, samples: [] };
}

test("every target is a figure of a case of a thorough run", () => {
	const cases = allCases(THOROUGH);
	for (const place of TARGETS.flatMap(({ of, by }) => (by === undefined ? [of] : [of, by]))) {
		const found = cases.find(({ name }) => name === place.case);
		expect(found?.variants.map(({ label }) => label)).toContain(place.variant);
		expect(found?.columns.map(({ key }) => key)).toContain(place.key);
		expect(["sluice", "socat", "reference"]).toContain(place.peer);
	}
});

test("a ratio to the peer's is met or not, and says what bounded it", () => {
	const socat = row("socat", { packetsInPps: 100_000, boundBy: "relay" });
	for (const [pps, boundBy, met, note] of [
		[450_000, "relay", true, null],
		[440_000, "relay", false, null],
		[900_000, "generator", true, "sluice was bound by the generator"],
	] as const) {
		expect(verdicts([row("sluice", { packetsInPps: pps, boundBy }), socat])).toEqual([
			{
				target: "loss-free 1→1, individual packets",
				wanted: "at least 4.5 × socat's",
				...{ figure: pps / 100_000, unit: "× socat's", met, note },
			},
		]);
	}
});

test("what was lost, and what the hypervisor took, stands beside the figure", () => {
	const of = {
		case: "latency",
		variant: "5 k/s",
		wire: "individual packets",
		skipped: undefined,
		samples: [],
	};
	const figures = { p50: 10, p99: 20, lostPercent: 0.02, stolenPercent: 0.4 };
	const rows: Row[] = [
		{ ...of, peer: "sluice", figures },
		{ ...of, peer: "socat", figures: { ...figures, lostPercent: 0, stolenPercent: 1.25 } },
	];
	const note = "sluice lost 0.02 %; 1.25 % of the machine was stolen from socat";
	expect(verdicts(rows)).toMatchObject([{ note }, { note }]);
});

test("without the peer's figure there is no verdict but the reason", () => {
	const sluice = row("sluice", { packetsInPps: 450_000, boundBy: "relay" });
	for (const [others, note] of [
		[[], "socat was not measured"],
		[[row("socat", {}, "socat is not installed")], "socat: socat is not installed"],
		[[row("socat", { packetsInPps: 0 })], "nothing to compare with: the other's is 0"],
	] as const) {
		expect(verdicts([sluice, ...others])).toMatchObject([{ figure: null, met: null, note }]);
	}
	expect(verdicts([])).toEqual([]);
});

test("people read them as a table", () => {
	const rows = [
		row("sluice", { packetsInPps: 444_444, boundBy: "relay" }),
		row("socat", { packetsInPps: 100_000, boundBy: "range" }),
	];
	const table = verdictTable(verdicts(rows), openTerminal({ NO_COLOR: "1" }).colors);
	expect(table.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
		["TARGET", "WANTED", "FOUND", "VERDICT"],
		[
			"loss-free 1→1, individual packets",
			...["at least 4.5 × socat's", "4.44", "not met", "socat was bound by the range"],
		],
		[""],
	]);
});
