import { BinaryReader } from "@bufbuild/protobuf/wire";
import { WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { countersSubject, hostCountersSubjects } from "@sluice/proto/subjects";
import type { Countable } from "./catalogue.ts";
import { type Decoded, decodeCounters } from "./decode.ts";
import type { RuleSample } from "./sample.ts";

const ROW_FIELDS = new Set(
	WorkerCountersSchema.fields.filter(({ name }) => /^(rule|output)_/.test(name)).map(({ number }) => number),
);

interface Kept {
	/** Hash of the rows' bytes. */
	readonly rows: bigint | number;
	readonly countable: Countable;
	readonly rules: ReadonlyMap<string, RuleSample>;
}

/**
 * Decodes counters as `decodeCounters` does; rows that are the same bytes as in the message before are not decoded
 * again: of many rules most are silent.
 */
export class CountersDecoder {
	/** By subject, as many as the workers have chunks. */
	readonly #kept = new Map<string, Kept>();
	readonly #countable: () => Countable;

	/** @param countable what there is now: the same object as long as that is the same. */
	constructor(countable: () => Countable) {
		this.#countable = countable;
	}

	forget(host: string): void {
		const subjects = hostCountersSubjects(host).slice(0, -1);
		for (const subject of this.#kept.keys()) if (subject.startsWith(subjects)) this.#kept.delete(subject);
	}

	decode(subject: string, bytes: Uint8Array): Decoded {
		const at = rowsAt(bytes);
		const rows = Bun.hash(bytes.subarray(at));
		const countable = this.#countable();
		const before = this.#kept.get(subject);
		const same = before !== undefined && rows === before.rows && countable === before.countable;
		const decoded = decodeCounters(subject, same ? bytes.subarray(0, at) : bytes, countable);
		if ("refused" in decoded) return decoded;
		const { host, worker, chunks } = decoded.chunk;
		for (let gone = chunks; this.#kept.delete(countersSubject(host, worker, gone)); ) gone += 1;
		if (same) return { chunk: { ...decoded.chunk, rules: before.rules } };
		if (at < bytes.length) this.#kept.set(subject, { rows, countable, rules: decoded.chunk.rules });
		return decoded;
	}
}

/** Where the rows begin, if they are all at the end; otherwise, and in what is malformed, the end. */
function rowsAt(bytes: Uint8Array): number {
	const reader = new BinaryReader(bytes);
	let at = bytes.length;
	try {
		while (reader.pos < reader.len) {
			const start = reader.pos;
			const [field, wireType] = reader.tag();
			reader.skip(wireType, field);
			if (ROW_FIELDS.has(field)) at = Math.min(at, start);
			else if (at < bytes.length) return bytes.length;
		}
	} catch {
		return bytes.length;
	}
	return at;
}
