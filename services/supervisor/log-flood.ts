import type { Logger } from "./logger.ts";

export interface FloodLimits {
	/** So many come one by one, … */
	readonly lines: number;
	/** … and one more each time this has passed. */
	readonly restMs: number;
}

const LIMITS: FloodLimits = { lines: 20, restMs: 10_000 };
/** Of more subjects the next line leaves out those that changed first. */
const SUBJECTS_SAID = 20;

/**
 * Lines of changes that may come for ever, as from an interface that flaps. Those beyond the limit are told at level
 * debug, and counted: within `restMs` a line says how many there were, and the last of each subject.
 */
export class LogFlood {
	readonly #log: Pick<Logger, "info" | "debug">;
	readonly #what: string;
	readonly #limits: FloodLimits;
	#left: number;
	#refilledMs = performance.now();
	#further = 0;
	/** By subject, the latest behind. */
	readonly #last = new Map<string, string>();

	/** @param what changes, for the line that counts. */
	constructor(log: Pick<Logger, "info" | "debug">, what: string, limits = LIMITS) {
		this.#log = log;
		this.#what = what;
		this.#limits = limits;
		this.#left = limits.lines;
	}

	/** @param short what the line that counts says of it. */
	say(subject: string, text: string, fields: object = {}, short = text): void {
		const { lines, restMs } = this.#limits;
		const nowMs = performance.now();
		this.#left = Math.min(lines, this.#left + (nowMs - this.#refilledMs) / restMs);
		this.#refilledMs = nowMs;
		if (this.#left >= 1) {
			this.#left -= 1;
			this.#log.info(fields, text);
			return;
		}
		this.#log.debug(fields, text);
		if (this.#further === 0) setTimeout(() => this.#sayFurther(), restMs).unref();
		this.#further += 1;
		this.#last.delete(subject);
		this.#last.set(subject, short);
		const [oldest] = this.#last.keys();
		if (this.#last.size > SUBJECTS_SAID && oldest !== undefined) this.#last.delete(oldest);
	}

	#sayFurther(): void {
		const fields = { changes: this.#further, last: [...this.#last.values()] };
		this.#log.info(fields, `${this.#what} changed too often to tell each time`);
		this.#further = 0;
		this.#last.clear();
	}
}
