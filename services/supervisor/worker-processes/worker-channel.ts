/** The worker died or was cut off before it answered. */
export class WorkerGone extends Error {
	constructor() {
		super("the worker is gone");
		this.name = "WorkerGone";
	}
}

/** The worker answered a command with an error. */
export class CommandRefused extends Error {
	/** Positive. */
	readonly errno: number;

	constructor(errno: number) {
		super(`the worker refused: errno ${errno}`);
		this.name = "CommandRefused";
		this.errno = errno;
	}
}

/** Sends one message: sendToWorker() of the binding. */
export type SendMessage = (
	connection: number,
	message: Uint8Array,
	fds: readonly number[],
) => "sent" | "full" | "gone";

interface Outstanding {
	readonly resolve: (atUs: number) => void;
	readonly reject: (reason: Error) => void;
	readonly sentAtMs: number;
}

/** Commands under way at once; the socket's own queue holds more, so that sending rarely has to wait. */
const WINDOW = 64;
const FULL_RETRY_MS = 1;

/** Commands to one worker, each with the promise of its acknowledgement. */
export class WorkerChannel {
	readonly connection: number;
	readonly #send: SendMessage;
	readonly #outstanding = new Map<bigint, Outstanding>();
	#room = Promise.withResolvers<void>();
	#sequence = 0n;
	#gone = false;

	constructor(connection: number, send: SendMessage) {
		this.connection = connection;
		this.#send = send;
	}

	get gone(): boolean {
		return this.#gone;
	}

	/** How long the oldest command has been without an answer. */
	oldestMs(nowMs: number): number {
		const oldest = this.#outstanding.values().next().value;
		return oldest === undefined ? 0 : nowMs - oldest.sentAtMs;
	}

	/** No further command may be sent now: see room(). */
	get full(): boolean {
		return !this.#gone && this.#outstanding.size >= WINDOW;
	}

	/** Resolves when another command may be sent, or the worker is gone. */
	async room(): Promise<void> {
		while (this.full) await this.#room.promise;
	}

	/**
	 * Sends a command and waits for its acknowledgement; when that came (µs, see AckEvent). The
	 * descriptors stay the caller's, who may close them once this settles. Commands may overtake
	 * each other when the queue is full: whoever needs an order awaits.
	 */
	async command(encode: (sequence: bigint) => Uint8Array, fds: readonly number[] = []): Promise<number> {
		const sequence = this.reserve();
		const message = encode(sequence);
		const acknowledged = this.answered(sequence);
		// It may be rejected while we are still waiting for room in the queue.
		acknowledged.catch(() => {});
		while (!this.#gone) {
			const result = this.#send(this.connection, message, fds);
			if (result === "sent") break;
			if (result === "gone") this.close();
			else await Bun.sleep(FULL_RETRY_MS);
		}
		return acknowledged;
	}

	/** The sequence of a command that the data plane may send by itself. */
	reserve(): bigint {
		this.#sequence += 1n;
		return this.#sequence;
	}

	/** The command of that sequence is under way: its acknowledgement, as with `command`. */
	answered(sequence: bigint): Promise<number> {
		if (this.#gone) return Promise.reject(new WorkerGone());
		const { promise, resolve, reject } = Promise.withResolvers<number>();
		this.#outstanding.set(sequence, { resolve, reject, sentAtMs: performance.now() });
		return promise;
	}

	/** The worker answered. */
	acknowledge(sequence: bigint, error: number, atUs: number): void {
		const outstanding = this.#settle(sequence);
		if (error === 0) outstanding?.resolve(atUs);
		else outstanding?.reject(new CommandRefused(Math.abs(error)));
	}

	/** Nobody answers any more. */
	close(): void {
		this.#gone = true;
		for (const sequence of [...this.#outstanding.keys()]) this.#settle(sequence)?.reject(new WorkerGone());
		this.#room.resolve();
	}

	#settle(sequence: bigint): Outstanding | undefined {
		const outstanding = this.#outstanding.get(sequence);
		this.#outstanding.delete(sequence);
		this.#room.resolve();
		this.#room = Promise.withResolvers();
		return outstanding;
	}
}
