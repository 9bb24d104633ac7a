import { rm } from "node:fs/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { errorText } from "@sluice/lib/errors";
import { type CountedRuns_Run, CountedRuns_RunSchema, CountedRunsSchema } from "@sluice/proto/gen/cluster";
import { EndedRunRequestSchema, EndedRunResponseSchema, type WorkerCounters } from "@sluice/proto/gen/stats";
import { ENDED_RUNS, endedRunSubject } from "@sluice/proto/subjects";
import type { Logger } from "../logger.ts";
import { readKept, replaceFile } from "./kept-file.ts";
import { encodeKept } from "./kept-format.ts";

const REQUESTS_AT_ONCE = 4;
const REQUEST_TIMEOUT_MS = 5_000;

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

	/** Tells an aggregator what runs before this one counted. @throws when not all of it is kept. */
	async handOver(nc: NatsConnection): Promise<void> {
		if (this.#former.length === 0) return;
		const subject = endedRunSubject(this.#options.host);
		const [request, response] = [EndedRunRequestSchema, EndedRunResponseSchema];
		// One run after the other: what was heard of one is in the sums once a newer one is told.
		for (const { incarnation, parts } of this.#former) {
			const all = Object.values(parts);
			for (let at = 0; at < all.length; at += REQUESTS_AT_ONCE) {
				const some = all.slice(at, at + REQUESTS_AT_ONCE).map((counted) => {
					const ageMs = BigInt(Math.max(0, Date.now() - Number(counted.atUnixMs)));
					return call(nc, subject, request, response, { incarnation, counted, ageMs }, REQUEST_TIMEOUT_MS);
				});
				await Promise.all(some);
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
