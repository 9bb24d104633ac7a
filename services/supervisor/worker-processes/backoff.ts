export interface BackoffOptions {
	readonly firstMs: number;
	readonly mostMs: number;
	/** Whoever ran for this long starts again at once. */
	readonly settledMs: number;
}

export const RESTART_BACKOFF: BackoffOptions = { firstMs: 250, mostMs: 16_000, settledMs: 2_000 };
export const RETRY_BACKOFF: BackoffOptions = { firstMs: 250, mostMs: 16_000, settledMs: 0 };

/** How long to wait after failure number `attempt` (1 for the first): doubled each time, up to the most. */
export function backoffDelay(attempt: number, { firstMs, mostMs }: BackoffOptions): number {
	return Math.min(mostMs, firstMs * 2 ** Math.min(attempt - 1, 30));
}

/** The delay before the next start of something that runs, dies and is started again. */
export class Backoff {
	readonly #options: BackoffOptions;
	#attempt = 0;

	constructor(options: BackoffOptions) {
		this.#options = options;
	}

	/** `ranMs`: how long the last run lasted. */
	next(ranMs: number): number {
		if (ranMs >= this.#options.settledMs) {
			this.#attempt = 0;
			return 0;
		}
		this.#attempt += 1;
		return backoffDelay(this.#attempt, this.#options);
	}
}
