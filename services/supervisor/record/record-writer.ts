/** Changes within this time are written together. */
const COALESCE_MS = 10;
/** After a write that failed: the bucket of a server that was started again is made anew in the next moments. */
const RETRY_MS = 200;

export interface RecordWriterOptions {
	/** The record as it is now. */
	readonly encode: () => Uint8Array;
	/** How long the record may rest: readers take a silent host for gone after three seconds. */
	readonly untilHeartbeatMs: () => number;
	/** Writes it durably; may reject. */
	readonly write: (record: Uint8Array) => Promise<void>;
	/** Called when writing begins to fail, and with undefined when it succeeds again. */
	readonly onTrouble: (thrown: unknown) => void;
}

/** Keeps this host's one record current: one write at a time, the latest state always last. */
export class RecordWriter {
	readonly #options: RecordWriterOptions;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#writing: Promise<void> | undefined;
	#changed = false;
	#lastWriteMs = Number.NEGATIVE_INFINITY;
	#failing = false;
	#stopped = false;

	constructor(options: RecordWriterOptions) {
		this.#options = options;
	}

	/** Something in the record changed: at once after a quiet time, otherwise with what comes in the next moments. */
	touch(): void {
		if (this.#stopped) return;
		this.#changed = true;
		if (this.#writing === undefined) this.#schedule(this.#lastWriteMs + COALESCE_MS - performance.now());
	}

	/** Writes once more and ends. */
	async stop(): Promise<void> {
		this.#stopped = true;
		clearTimeout(this.#timer);
		await this.#writing;
		await this.#write();
		clearTimeout(this.#timer);
	}

	#schedule(delayMs: number): void {
		clearTimeout(this.#timer);
		if (delayMs <= 0) this.#start();
		else this.#timer = setTimeout(() => this.#start(), delayMs);
	}

	#start(): void {
		this.#writing ??= this.#write().finally(() => {
			this.#writing = undefined;
			if (!this.#stopped)
				this.#schedule(
					this.#failing ? RETRY_MS : this.#changed ? COALESCE_MS : this.#options.untilHeartbeatMs(),
				);
		});
	}

	async #write(): Promise<void> {
		this.#changed = false;
		this.#lastWriteMs = performance.now();
		try {
			await this.#options.write(this.#options.encode());
			if (this.#failing) this.#options.onTrouble(undefined);
			this.#failing = false;
		} catch (thrown) {
			if (!this.#failing) this.#options.onTrouble(thrown);
			this.#failing = true;
		}
	}
}
