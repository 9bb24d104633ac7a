/** What Sluice is to reach, most of it in terms of a peer that ran beside it. */

import type { Row } from "./bench.ts";

/** One figure of one row. */
export interface Place {
	readonly case: string;
	readonly variant: string;
	readonly peer: string;
	readonly key: string;
}

interface Target {
	readonly what: string;
	/** Times a peer's figure, or in a unit of its own. */
	readonly unit: string;
	readonly limit: { readonly atMost: number } | { readonly atLeast: number };
	/** The figure is this one's … */
	readonly of: Place;
	/** … divided by this one's. */
	readonly by?: Place;
}

export interface Verdict {
	readonly target: string;
	/** "at least 4.5 × socat's". */
	readonly wanted: string;
	/** Null: not measured in this run. */
	readonly figure: number | null;
	readonly unit: string;
	readonly met: boolean | null;
	/** What is to be known beside it: why there is no figure, or what bounds it. */
	readonly note: string | null;
}

const at = (inCase: string, variant: string, key: string, peer = "sluice"): Place => ({
	case: inCase,
	...{ variant, peer, key },
});
const peers = (peer: string, place: Place): Place => ({ ...place, peer });

const CPU = "cpuMicroseconds";
const IN = "packetsInPps";
const OUT = "packetsOutPps";
const LOSS_FREE = at("loss-free", "1400 B, bursts of 32, packets", IN);
const GRO = at("loss-free", "1400 B, bursts of 32, GRO", IN);
const INTERLEAVED = at("loss-free", "1400 B, bursts of 1, 50 streams", IN);
const CPU_100 = at("cpu", "1400 B, bursts of 32, 100 k/s", CPU);
const CPU_400 = at("cpu", "1400 B, bursts of 32, 400 k/s", CPU);
const CPU_400_DEVICE = at("cpu", "1400 B, bursts of 32, 400 k/s, the device segments", CPU);
const CPU_400_GRO = at("cpu", "1400 B, bursts of 32, 400 k/s, GRO", CPU);
const CPU_SINGLES = at("cpu", "1400 B, bursts of 1, 50 k/s", CPU);
const FAN_OUT = at("fan-out", "1→16, packets out", OUT);
const STREAMS_SINGLES = at("streams", "50 streams, bursts of 1", CPU);

function ratio(what: string, of: Place, peer: string, limit: Target["limit"]): Target {
	return { what, unit: `× ${peer}'s`, limit, of, by: peers(peer, of) };
}

function latencies(): Target[] {
	return ["5 k/s", "50 k/s"].flatMap((rate) =>
		["p50", "p99"].map((key) =>
			ratio(`latency at ${rate}, ${key}`, at("latency", rate, key), "socat", { atMost: 1 }),
		),
	);
}

const PARSE_AND_LOOKUP: readonly Target[] = [
	{
		...{ what: "parse", unit: "ns", limit: { atMost: 11 } },
		of: at("micro", "parse", "nanoseconds"),
	},
	...["lookup", "lookup, each after the other", "lookup, one source each"].map((variant) => ({
		...{ what: `${variant}, 10,000 rules`, unit: "ns", limit: { atMost: 15 } },
		of: at("micro", variant, "nanoseconds"),
	})),
];

export const TARGETS: readonly Target[] = [
	ratio("loss-free 1→1, individual packets", LOSS_FREE, "socat", { atLeast: 4.5 }),
	ratio("loss-free 1→1, GRO on ingress", GRO, "socat", { atLeast: 8 }),
	ratio("CPU per packet at 100 k/s", CPU_100, "socat", { atMost: 1 / 5 }),
	ratio("CPU per packet at 400 k/s", CPU_400, "socat", { atMost: 1 / 7 }),
	ratio("CPU per packet at 400 k/s", CPU_400, "reference", { atMost: 1 / 3 }),
	ratio("CPU per packet at 400 k/s, the device segments", CPU_400_DEVICE, "socat", { atMost: 1 / 7 }),
	ratio("CPU per packet at 400 k/s, the device segments", CPU_400_DEVICE, "reference", { atMost: 1 / 3 }),
	ratio("CPU per packet at 400 k/s, GRO on ingress", CPU_400_GRO, "socat", { atMost: 1 / 7 }),
	ratio("CPU per packet at 400 k/s, GRO on ingress", CPU_400_GRO, "reference", { atMost: 1 / 3 }),
	...[
		{ what: "latency at 400 k/s, p99", row: CPU_400 },
		{ what: "latency at 400 k/s, p99, GRO on ingress", row: CPU_400_GRO },
	].map(({ what, row }) => ({
		...{ what, unit: "µs", limit: { atMost: 200 } },
		of: { ...row, key: "p99" },
	})),
	{
		...{ what: "the same with --priority realtime", unit: "µs", limit: { atMost: 200 } },
		of: at("realtime", "400 k/s", "p99"),
	},
	{ what: "fan-out 1→16, packets", unit: "datagrams/s out", limit: { atLeast: 1_600_000 }, of: FAN_OUT },
	ratio("fan-out 1→16, packets", FAN_OUT, "reference", { atLeast: 3 }),
	{
		...{ what: "fan-out 1→16, the device segments", unit: "datagrams/s out" },
		...{ limit: { atLeast: 5_000_000 }, of: at("fan-out", "1→16, super-packets out", OUT) },
	},
	...latencies(),
	{
		...{ what: "CPU of 50 streams, bursts of 32", unit: "× one stream's", limit: { atMost: 1.3 } },
		of: at("streams", "50 streams, bursts of 32", CPU),
		by: at("streams", "1 stream, bursts of 32", CPU),
	},
	ratio("CPU of 50 streams, packet by packet", STREAMS_SINGLES, "socat", { atMost: 1 / 3 }),
	ratio("loss-free, 50 streams, packet by packet", INTERLEAVED, "socat", { atLeast: 3 }),
	ratio("CPU of evenly spaced packets, 50 k/s", CPU_SINGLES, "socat", { atMost: 0.65 }),
	{
		...{ what: "CPU with 10,000 rules", unit: "× one rule's", limit: { atMost: 1.1 } },
		of: at("rules", "10000 rules", CPU),
		by: at("rules", "1 rule", CPU),
	},
	...PARSE_AND_LOOKUP,
	{
		...{ what: "put to first datagram, interface in use, p99", unit: "ms", limit: { atMost: 50 } },
		of: at("put", "interface in use", "p99"),
	},
	{
		...{ what: "put to first datagram, new interface, p99", unit: "ms", limit: { atMost: 300 } },
		of: at("put", "new interface", "p99"),
	},
	{
		...{ what: "apply of 10,000 rules", unit: "s", limit: { atMost: 2 } },
		of: at("apply", "10000 rules", "seconds"),
	},
	{
		...{ what: "memory while idle, 2 workers", unit: "MiB", limit: { atMost: 350 } },
		of: at("idle", "2 workers", "memoryMebibytes"),
	},
	{
		...{ what: "CPU while idle, 2 workers", unit: "% of a core", limit: { atMost: 1 } },
		of: at("idle", "2 workers", "cpuPercent"),
	},
];

const DIGITS = 3;

export function describeFigure(figure: number): string {
	return figure.toLocaleString("en-US", { maximumSignificantDigits: figure >= 1_000 ? 9 : DIGITS });
}

function wanted({ limit, unit }: Target): string {
	const [word, bound] = "atMost" in limit ? ["at most", limit.atMost] : ["at least", limit.atLeast];
	return `${word} ${describeFigure(bound)} ${unit}`;
}

function rowOf(place: Place, rows: readonly Row[]): Row | undefined {
	return rows.find(
		(row) => row.case === place.case && row.variant === place.variant && row.peer === place.peer,
	);
}

/** The figure, or why there is none. */
function figureAt(place: Place, rows: readonly Row[]): number | string {
	const row = rowOf(place, rows);
	if (row === undefined) return `${place.peer} was not measured`;
	if (row.skipped !== undefined) return `${place.peer}: ${row.skipped}`;
	const figure = row.figures[place.key];
	return typeof figure === "number" ? figure : `${place.peer}: ${figure ?? "no figure"}`;
}

/** Less than this of a trial moves no percentile that has a target. */
const STOLEN_PERCENT_MIN = 0.5;

/**
 * A search that ended at another limit than the relay's says "at least so much"; loss makes CPU no fair figure; and who
 * shares the machine makes tails.
 */
function notesOf(place: Place, rows: readonly Row[]): string[] {
	const { boundBy, lostPercent, stolenPercent } = rowOf(place, rows)?.figures ?? {};
	const notes: string[] = [];
	if (typeof boundBy === "string" && boundBy !== "relay")
		notes.push(`${place.peer} was bound by the ${boundBy}`);
	if (typeof lostPercent === "number" && lostPercent >= 0.01)
		notes.push(`${place.peer} lost ${describeFigure(lostPercent)} %`);
	if (typeof stolenPercent === "number" && stolenPercent >= STOLEN_PERCENT_MIN)
		notes.push(`${describeFigure(stolenPercent)} % of the machine was stolen from ${place.peer}`);
	return notes;
}

function judge(target: Target, rows: readonly Row[]): Verdict {
	const { what, unit, limit, of, by } = target;
	const own = figureAt(of, rows);
	const other = by === undefined ? 1 : figureAt(by, rows);
	const common = { target: what, wanted: wanted(target), unit };
	const none = (note: string): Verdict => ({ ...common, figure: null, met: null, note });
	if (typeof own === "string") return none(own);
	if (typeof other === "string") return none(other);
	if (other === 0) return none("nothing to compare with: the other's is 0");
	const figure = own / other;
	const met = "atMost" in limit ? figure <= limit.atMost : figure >= limit.atLeast;
	const notes = [of, ...(by === undefined ? [] : [by])].flatMap((place) => notesOf(place, rows));
	return { ...common, figure, met, note: notes.length > 0 ? notes.join("; ") : null };
}

/** Of those targets whose case ran. */
export function verdicts(rows: readonly Row[]): Verdict[] {
	const ran = new Set(rows.map((row) => `${row.case} ${row.variant}`));
	return TARGETS.filter(({ of }) => ran.has(`${of.case} ${of.variant}`)).map((target) => judge(target, rows));
}
