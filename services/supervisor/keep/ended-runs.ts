import { rm } from "node:fs/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { errorText } from "@sluice/lib/errors";
import { type CountedRuns_Run, CountedRuns_RunSchema, CountedRunsSchema } from "@sluice/proto/gen/cluster";
import { KeptFiguresSchema, type WorkerCounters } from "@sluice/proto/gen/stats";
import { buckets, ENDED_RUNS, endedRunKey, kvSubject } from "@sluice/proto/subjects";
import type { Logger } from "../logger.ts";
import { readKept, replaceFile } from "./kept-file.ts";
import { encodeKept } from "./kept-format.ts";

const WRITES_AT_ONCE = 16;
const WRITE_TIMEOUT_MS = 2_000;

export interface EndedRunsOptions {
	readonly path: string;
	readonly host: string;
	readonly incarnation: bigint;
	/** What this run has counted, by part. */
	readonly counted: () => Map<number, WorkerCounters>;
	readonly log: Logger;
}

/**
 * What runs of this host's `up` counted that NATS may not have heard: in a file, until a later run
 * hands it over (ADR 0126).
 */
export class EndedRuns {
	readonly #options: EndedRunsOptions;
	#former: readonly CountedRuns_Run[];
	#writing = Promise.resolve();
	/** Hash of what this run counted as it stands in the file; undefined: the file is another. */
	#written: number | bigint | undefined;
	#said = "";

	private constructor(options: EndedRunsOptions, former: readonly CountedRuns_Run[]) {
		this.#options = options;
		this.#former = former;
	}

	static async read(options: EndedRunsOptions): Promise<EndedRuns> {
		const { path, incarnation, log } = options;
		const stored = await readKept(path, CountedRunsSchema, log);
		// Of this run another supervisor may have written it, and memory knows more.
		const former = stored?.runs.filter((run) => run.incarnation < incarnation) ?? [];
		return new EndedRuns(options, former.slice(-ENDED_RUNS));
	}

	/** Writes down what this run has counted so far, beside those before it. */
	async keep(): Promise<void> {
		this.#writing = this.#writing.then(() => this.#write());
		await this.#writing;
	}

	/** Hands over what runs before this one counted. @throws when not all of it is stored. */
	async handOver(nc: NatsConnection): Promise<void> {
		if (this.#former.length === 0) return;
		const js = jetstream(nc);
		// One run after the other: what was heard of one is in the sums once a newer one is told.
		for (const [run, { incarnation, parts }] of this.#former.entries()) {
			const all = Object.entries(parts);
			for (let at = 0; at < all.length; at += WRITES_AT_ONCE) {
				const some = all.slice(at, at + WRITES_AT_ONCE);
				await Promise.all(
					some.map(([part, last]) => {
						const lastAgeMs = BigInt(Math.max(0, Date.now() - Number(last.atUnixMs)));
						const value = create(KeptFiguresSchema, { incarnation, last, lastAgeMs });
						const key = endedRunKey(this.#options.host, Number(part), run);
						const subject = kvSubject(buckets.figures, key);
						return js.publish(subject, toBinary(KeptFiguresSchema, value), { timeout: WRITE_TIMEOUT_MS });
					}),
				);
			}
		}
		this.#former = [];
		this.#written = undefined;
		await this.keep();
	}

	/** A disk that is full costs these figures and nothing else. */
	async #write(): Promise<void> {
		const { path, incarnation, counted, log } = this.#options;
		try {
			const parts = Object.fromEntries(counted());
			const hash = hashOf(parts);
			if (hash === this.#written) return;
			const own = create(CountedRuns_RunSchema, { incarnation, parts });
			// It needs a place beside them, should it end unheard.
			const counts = Object.keys(parts).length > 0;
			const runs = counts ? [...this.#former.slice(1 - ENDED_RUNS), own] : [...this.#former];
			if (runs.length === 0) await rm(path, { force: true });
			else await replaceFile(path, encodeKept(CountedRunsSchema, create(CountedRunsSchema, { runs })));
			this.#written = hash;
			this.#said = "";
		} catch (thrown) {
			const error = errorText(thrown);
			if (error !== this.#said) log.warn(`what was counted cannot be kept in ${path}: ${error}`);
			this.#said = error;
		}
	}
}

/** Of the rows, whenever they were read. */
function hashOf(parts: Record<string, WorkerCounters>): number | bigint {
	const rows = Object.entries(parts).map(([part, columns]) => [part, { ...columns, atUnixMs: 0n }]);
	return Bun.hash(
		toBinary(CountedRuns_RunSchema, create(CountedRuns_RunSchema, { parts: Object.fromEntries(rows) })),
	);
}
