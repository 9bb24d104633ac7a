import type { Logger } from "./logger.ts";
import { reconcile } from "./reconcile/reconcile.ts";
import type { Command, Desired, Observed, RuleState } from "./reconcile/types.ts";

export interface ReconcilerOptions {
	readonly desired: () => Desired;
	readonly observe: () => Observed;
	readonly execute: (commands: readonly Command[]) => Promise<void>;
	/** All of `desired` is applied, or stands in `rules` with its reason. */
	readonly settled: (rules: readonly RuleState[], desired: Desired) => void;
	readonly log: Logger;
}

/** Each pass can uncover refusals that change what is commanded; there are fewer kinds of them than this. */
const MOST_PASSES = 32;
const UNSETTLED_RETRY_MS = 250;
/**
 * Each round looks at every rule. While rules keep coming, the next one waits so many times as long as
 * the last one spent looking: an apply is not paid for with a look at all rules for each few of its own.
 */
const REST = 4;
/** The same for how long none may have come until they count as all. */
const PAUSE = 2;
/** Amid an edit whose writer says that more of it comes there is a round each so often at most. */
const AMID_EDIT_MS = 1_000;

/**
 * Runs rounds, one after another: takes what is desired, and reconciles and applies
 * until nothing is left to do for it. What changes meanwhile makes one next round.
 */
export class Reconciler {
	readonly #options: ReconcilerOptions;
	#wanted = false;
	#stopped = false;
	#wake: () => void = () => {};
	#timer: ReturnType<typeof setTimeout> | undefined;
	/** How long the last round spent looking, and when; performance.now(). */
	#looked = { forMs: 0, untilMs: 0 };
	/** Rules changed last; performance.now(). */
	#changedMs = 0;
	#resting = false;
	/** The last that is known of rules: more of the same edit comes. */
	#amidEdit = false;
	/** Something changed that does not wait for that. */
	#urgent = false;

	constructor(options: ReconcilerOptions) {
		this.#options = options;
	}

	/** Something changed. Cheap; calls while a round runs are answered by one more round. */
	poke(): void {
		this.#urgent = true;
		this.#wanted = true;
		this.#wake();
	}

	/**
	 * Rules changed, perhaps the first of many.
	 * @param more whether more of the same edit comes; undefined: that is not known yet.
	 */
	rulesChanged(more?: boolean): void {
		this.#wanted = true;
		this.#changedMs = performance.now();
		// The end of an edit is not guessed by a pause.
		if (more === false && this.#amidEdit) this.poke();
		this.#amidEdit = more ?? this.#amidEdit;
		if (!this.#resting) this.#wake();
	}

	async run(): Promise<void> {
		while (!this.#stopped) {
			if (!this.#wanted) await new Promise<void>((resolve) => (this.#wake = resolve));
			if (this.#stopped) return;
			// What arrived together is seen together.
			await new Promise((resolve) => setImmediate(resolve));
			await this.#rest();
			if (this.#stopped) return;
			this.#wanted = false;
			this.#urgent = false;
			await this.#round();
		}
	}

	/** No longer than rules keep coming. */
	async #rest(): Promise<void> {
		this.#resting = true;
		for (;;) {
			const { forMs, untilMs } = this.#looked;
			const restedMs = this.#amidEdit
				? untilMs + Math.max(REST * forMs, AMID_EDIT_MS)
				: Math.min(untilMs + REST * forMs, this.#changedMs + PAUSE * forMs);
			const leftMs = restedMs - performance.now();
			if (leftMs <= 0 || this.#urgent || this.#stopped) break;
			const woken = new Promise<void>((resolve) => (this.#wake = resolve));
			const timer = setTimeout(() => this.#wake(), leftMs);
			await woken;
			clearTimeout(timer);
		}
		this.#resting = false;
	}

	/** Ends the loop after the round that runs. */
	stop(): void {
		this.#stopped = true;
		clearTimeout(this.#timer);
		this.#wake();
	}

	async #round(): Promise<void> {
		const { observe, execute, settled, log } = this.#options;
		const startedMs = performance.now();
		const desired = this.#options.desired();
		let lookedMs = performance.now() - startedMs;
		let commands = 0;
		for (let pass = 0; pass < MOST_PASSES && !this.#stopped; pass += 1) {
			const observed = observe();
			const lookMs = performance.now();
			const plan = reconcile(desired, observed);
			const nowMs = performance.now();
			lookedMs += nowMs - lookMs;
			this.#looked = { forMs: lookedMs, untilMs: nowMs };
			if (plan.commands.length === 0) {
				this.#retryAt(plan.retryAtMs, observed.nowMs);
				if (plan.waits) return;
				settled(plan.rules, desired);
				const tookMs = Math.round((performance.now() - startedMs) * 10) / 10;
				log.debug(
					{ sequence: Number(desired.sequence), rules: plan.rules.length, commands, tookMs },
					"settled",
				);
				return;
			}
			commands += plan.commands.length;
			await execute(plan.commands);
		}
		if (this.#stopped) return;
		log.error({ commands }, "a round does not settle: it is tried again");
		this.#retryAt(performance.now() + UNSETTLED_RETRY_MS, performance.now());
	}

	#retryAt(atMs: number | undefined, nowMs: number): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		if (atMs !== undefined) this.#timer = setTimeout(() => this.poke(), Math.max(1, atMs - nowMs));
	}
}
