import { fromBinary } from "@bufbuild/protobuf";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { type KeptFigures, KeptFiguresSchema } from "@sluice/proto/gen/stats";
import { buckets, KEPT_PARTS, kvSubject } from "@sluice/proto/subjects";

export const WRITE_TIMEOUT_MS = 2000;

export function subjectOf(key: string): string {
	return kvSubject(buckets.figures, key);
}

export function isFiguresKey(key: string): boolean {
	const [, part = "", ...more] = key.split(".");
	return more.length === 0 && /^(0|[1-9]\d?)$/.test(part) && Number(part) < KEPT_PARTS;
}

/** Undefined: there are none that can be read. */
export function readFigures(data: Uint8Array): KeptFigures | undefined {
	if (data.length === 0) return undefined;
	try {
		return fromBinary(KeptFiguresSchema, data);
	} catch {
		return undefined;
	}
}

/** Something else stands there than was expected. */
export function isConflict(thrown: unknown): boolean {
	return codeOf(thrown) === JetStreamApiCodes.StreamWrongLastSequence;
}

export function codeOf(thrown: unknown): number | undefined {
	return thrown instanceof JetStreamApiError ? thrown.code : undefined;
}
