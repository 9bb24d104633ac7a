import { create, toBinary } from "@bufbuild/protobuf";
import {
	type Drop_Reason,
	Drop_ReasonSchema,
	type Failure_Reason,
	Failure_ReasonSchema,
	type WorkerCounters,
	WorkerCountersSchema,
} from "@sluice/proto/gen/stats";
import { outputKey } from "@sluice/proto/output-key";
import { countersSubject } from "@sluice/proto/subjects";
import type { CataloguedOutput, CataloguedRule } from "../catalogue.ts";
import { decodeCounters } from "../decode.ts";
import { type Fold, type FoldOutcome, foldChunk } from "../fold.ts";

export const T0 = 1_700_000_000_000;

export interface OutputReading {
	readonly output: CataloguedOutput;
	readonly sent: bigint;
	readonly failed?: Partial<Record<Failure_Reason, bigint>>;
	readonly answers?: bigint;
}

export interface RuleReading {
	readonly uid: string;
	readonly received: bigint;
	readonly bytes?: bigint;
	readonly dropped?: Partial<Record<Drop_Reason, bigint>>;
	readonly lastReceivedMs?: number;
	readonly outputs?: readonly OutputReading[];
}

export interface Reading {
	readonly host?: string;
	readonly worker?: number;
	readonly incarnation?: bigint;
	readonly sequence?: bigint;
	readonly atMs?: number;
	readonly chunk?: number;
	readonly chunks?: number;
	readonly rules?: readonly RuleReading[];
	readonly interfaces?: readonly {
		readonly name: string;
		readonly captured: bigint;
		readonly unmatched: bigint;
	}[];
}

/** The message a worker would publish for this reading. */
export function workerCounters(reading: Reading): WorkerCounters {
	const rules = reading.rules ?? [];
	const interfaces = reading.interfaces ?? [];
	const outputs = rules.flatMap(({ outputs = [] }, row) => outputs.map((output) => ({ row, ...output })));
	return create(WorkerCountersSchema, {
		host: reading.host ?? "relay-a",
		worker: reading.worker ?? 0,
		incarnation: reading.incarnation ?? 100n,
		sequence: reading.sequence ?? 1n,
		atUnixMs: BigInt(reading.atMs ?? T0),
		chunk: reading.chunk ?? 0,
		chunks: reading.chunks ?? 1,
		ruleUids: Uint8Array.fromHex(rules.map(({ uid }) => uid.replaceAll("-", "")).join("")),
		ruleReceivedPackets: rules.map(({ received }) => received),
		ruleReceivedBytes: rules.map(({ received, bytes }) => bytes ?? received * 1000n),
		ruleForwardedPackets: rules.map(({ received, dropped = {} }) => received - sum(Object.values(dropped))),
		ruleLastReceivedUnixMs: rules.map(({ lastReceivedMs = 0 }) => BigInt(lastReceivedMs)),
		ruleDroppedPackets: rules.flatMap(({ dropped = {} }) =>
			Drop_ReasonSchema.values.map(({ number }) => dropped[number as Drop_Reason] ?? 0n),
		),
		outputRule: outputs.map(({ row }) => row),
		outputKeys: outputs.map(({ output }) => output.key),
		outputEligiblePackets: outputs.map(({ sent, failed = {} }) => sent + sum(Object.values(failed))),
		outputSentPackets: outputs.map(({ sent }) => sent),
		outputSentBytes: outputs.map(({ sent }) => sent * 1000n),
		outputFailedPackets: outputs.map(({ failed = {} }) => sum(Object.values(failed))),
		outputLimitedPackets: outputs.map(() => 0n),
		outputFailedByReason: outputs.some(({ failed }) => failed !== undefined)
			? outputs.flatMap(({ failed = {} }) =>
					Failure_ReasonSchema.values.map(({ number }) => failed[number as Failure_Reason] ?? 0n),
				)
			: [],
		outputUnreachableAnswers: outputs.some(({ answers }) => answers !== undefined)
			? outputs.map(({ answers = 0n }) => answers)
			: [],
		interfaceNames: interfaces.map(({ name }) => name),
		interfaceCapturedFrames: interfaces.map(({ captured }) => captured),
		interfaceKernelDroppedFrames: interfaces.map(() => 0n),
		interfaceUnmatchedPackets: interfaces.map(({ unmatched }) => unmatched),
		interfaceDroppedPackets: interfaces.flatMap(() => Drop_ReasonSchema.values.map(() => 0n)),
	});
}

function sum(values: readonly bigint[]): bigint {
	return values.reduce((a, b) => a + b, 0n);
}

/** Encodes, decodes and folds a reading, as if it had come over the wire. */
export function foldReading(fold: Fold, reading: Reading, heardAtMs = reading.atMs ?? T0): FoldOutcome {
	const message = workerCounters(reading);
	const subject = countersSubject(message.host, message.worker, message.chunk);
	const decoded = decodeCounters(subject, toBinary(WorkerCountersSchema, message));
	if ("refused" in decoded) {
		throw new Error(`the fixture is refused: ${decoded.refused}`);
	}
	return foldChunk(fold, decoded.chunk, heardAtMs);
}

export function uid(number: number): string {
	return `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}

export function output(name: string, address: string, port: number): CataloguedOutput {
	return { interface: name, address, port, key: outputKey(name, address, port) };
}

export const R1 = output("r1", "239.10.1.1", 6001);
export const R2 = output("r2", "239.10.2.1", 6002);

export function rule(
	name: string,
	number: number,
	outputs: readonly CataloguedOutput[] = [R1],
): CataloguedRule {
	return { name, uid: uid(number), outputs };
}
