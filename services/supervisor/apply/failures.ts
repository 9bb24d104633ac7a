import type { Failure } from "../reconcile/types.ts";
import { backoffDelay, RETRY_BACKOFF } from "../worker-processes/backoff.ts";

interface CountedFailure extends Failure {
	readonly attempt: number;
}

/** Commands that were refused: each is tried again, ever more rarely. */
export class Failures {
	readonly #entries = new Map<string, CountedFailure>();

	get entries(): ReadonlyMap<string, Failure> {
		return this.#entries;
	}

	/** True when this is news: the first refusal, or another reason than before. */
	record(key: string, reason: string, nowMs: number): boolean {
		const before = this.#entries.get(key);
		const attempt = (before?.attempt ?? 0) + 1;
		this.#entries.set(key, { reason, attempt, retryAtMs: nowMs + backoffDelay(attempt, RETRY_BACKOFF) });
		return before?.reason !== reason;
	}

	forget(key: string): boolean {
		return this.#entries.delete(key);
	}
}
