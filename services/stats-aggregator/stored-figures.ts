import { create, toBinary } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import {
	type EndedRunRequest,
	Failure_ReasonSchema,
	type KeptFigures,
	KeptFiguresSchema,
	type WorkerCounters,
	WorkerCountersSchema,
} from "@sluice/proto/gen/stats";
import type { Countable } from "./catalogue.ts";
import { decodeRules } from "./decode.ts";
import {
	byOurClock,
	type Kept,
	lastOf,
	type Rows,
	type Run,
	type StoredFigures,
	type Wanted,
} from "./kept.ts";

const FAILURE_REASONS = Failure_ReasonSchema.values.length;

/** A value of the bucket, of those rules that `wanted` says. */
export function encodeKept(
	incarnation: bigint,
	{ former, formerRuns, previous, last }: Kept,
	wanted: Wanted,
	nowMs: number,
): Uint8Array {
	const latest = last?.latest;
	const message = create(KeptFiguresSchema, {
		incarnation,
		former: columnsOf(former, wanted),
		formerIncarnations: [...formerRuns],
	});
	if (previous !== undefined) {
		message.previous = columnsOf(previous.rows, wanted);
		message.previous.incarnation = previous.incarnation;
	}
	if (latest !== undefined) {
		message.last = columnsOf(latest.rules, wanted);
		message.lastAgeMs = BigInt(Math.max(0, Math.round(nowMs - latest.heardAtMs)));
	}
	return toBinary(KeptFiguresSchema, message);
}

/** @throws when its columns do not fit each other. */
export function decodeKept(message: KeptFigures, revision: bigint, writtenMs: number): StoredFigures {
	const { incarnation, former, formerIncarnations: formerRuns, previous, last, lastAgeMs } = message;
	const heardAtMs = writtenMs - Number(lastAgeMs);
	return {
		incarnation,
		former: former === undefined ? new Map() : rowsOf(former),
		formerRuns,
		previous: previous && { incarnation: previous.incarnation, rows: rowsOf(previous) },
		last: last === undefined ? undefined : lastOf(incarnation, rowsOf(last), heardAtMs),
		revision,
	};
}

/** What a host says of a run that ended, of rules and outputs that there are. @throws when its columns do not fit each other. */
export function decodeEnded(
	{ incarnation, counted, ageMs }: EndedRunRequest,
	nowMs: number,
	countable: Countable,
): Run {
	const reading = { atUnixMs: counted?.atUnixMs ?? 0n, heardAtMs: nowMs - Number(ageMs) };
	const rows = [...(counted === undefined ? [] : rowsOf(counted, countable))];
	const byUs = rows.map(
		([uid, row]) => [uid, { ...row, lastReceivedUnixMs: byOurClock(reading, row) }] as const,
	);
	return { incarnation, rows: new Map(byUs) };
}

function rowsOf(columns: WorkerCounters, countable?: Countable): Rows {
	const rows = decodeRules(columns, countable);
	if (rows === undefined) throw new SluiceError("invalid", "columns of different lengths");
	return rows;
}

function columnsOf(rows: Rows, wanted: Wanted): WorkerCounters {
	const kept = [...rows].filter(([uid]) => wanted(uid));
	const rules = kept.map(([, rule]) => rule);
	const keyed = rules.flatMap((rule, row) =>
		[...rule.outputs].map(([key, output]) => ({ row, key, output })),
	);
	const outputs = keyed.map(({ output }) => output);
	const message = create(WorkerCountersSchema, {
		ruleUids: Uint8Array.fromHex(kept.map(([uid]) => uid.replaceAll("-", "")).join("")),
		ruleReceivedPackets: rules.map(({ receivedPackets }) => receivedPackets),
		ruleReceivedBytes: rules.map(({ receivedBytes }) => receivedBytes),
		ruleForwardedPackets: rules.map(({ forwardedPackets }) => forwardedPackets),
		ruleLastReceivedUnixMs: rules.map(({ lastReceivedUnixMs }) => lastReceivedUnixMs),
		ruleDroppedPackets: rules.flatMap(({ droppedPackets }) => droppedPackets),
		outputRule: keyed.map(({ row }) => row),
		outputKeys: keyed.map(({ key }) => key),
		outputEligiblePackets: outputs.map(({ eligiblePackets }) => eligiblePackets),
		outputSentPackets: outputs.map(({ sentPackets }) => sentPackets),
		outputSentBytes: outputs.map(({ sentBytes }) => sentBytes),
		outputFailedPackets: outputs.map(({ failedPackets }) => failedPackets),
		outputLimitedPackets: outputs.map(({ limitedPackets }) => limitedPackets),
		outputUnreachableAnswers: outputs.map(({ unreachableAnswers }) => unreachableAnswers),
	});
	if (outputs.some(({ failedPackets }) => failedPackets > 0n))
		message.outputFailedByReason = outputs.flatMap(({ failedByReason }) =>
			Array.from({ length: FAILURE_REASONS }, (_, reason) => failedByReason[reason] ?? 0n),
		);
	return message;
}
