import type { WorkerFold } from "./fold.ts";

/** A worker that was not heard for longer has no rate; it publishes each second. */
export const SILENT_WORKER_MS = 3000;

export function isSilent({ latest }: WorkerFold, nowMs: number): boolean {
	return latest === undefined || nowMs - latest.heardAtMs > SILENT_WORKER_MS;
}

/** A sum of rates, known only when each of its parts is. Those who are silent are no part of it. */
export class RateSum {
	#sum = 0;
	#parts = 0;
	#unknown = 0;
	#silent = 0;

	/** Undefined: not known yet. */
	add(rate: number | undefined): void {
		this.#parts += 1;
		if (rate === undefined) this.#unknown += 1;
		else this.#sum += rate;
	}

	addSilent(): void {
		this.#silent += 1;
	}

	addAll(other: RateSum): void {
		this.#sum += other.#sum;
		this.#parts += other.#parts;
		this.#unknown += other.#unknown;
		this.#silent += other.#silent;
	}

	/** What nobody counts is zero; what only silent ones counted nobody knows. */
	get value(): number | undefined {
		if (this.#unknown > 0) return undefined;
		return this.#parts === 0 && this.#silent > 0 ? undefined : this.#sum;
	}
}

/** Seconds between the two samples that rates come from, by the worker's clock; 0: there is one sample only. */
export function rateSeconds({ latest, baseline }: WorkerFold): number {
	if (latest === undefined || baseline === undefined) return 0;
	return Math.max(0, Number(latest.atUnixMs - baseline.atUnixMs) / 1000);
}

/** A figure that was not in both samples, or that began anew, has no rate yet. */
export function rate(now: bigint, before: bigint | undefined, seconds: number): number | undefined {
	return before === undefined || seconds === 0 || now < before ? undefined : Number(now - before) / seconds;
}
