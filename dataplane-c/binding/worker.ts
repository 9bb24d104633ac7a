/** The worker half of libsluice, typed: one packet thread per process. */
import * as check from "./check.ts";
import { INTERFACE_COUNTERS, OUTPUT_COUNTERS, RULE_COUNTERS, WORKER_COUNTERS } from "./counters.ts";
import { LIMITS, SNAPSHOT } from "./layout.ts";
import { succeed, workerSymbols } from "./library.ts";

/** enum sluice_idle. */
const IDLE = { adaptive: 0, block: 1, spin: 2 } as const;

export type WorkerState = "boot" | "run" | "halt" | "fail";
const STATES: readonly WorkerState[] = ["boot", "run", "halt", "fail"];

export type LineLevel = "trace" | "debug" | "info" | "warn" | "error";
const LEVELS: readonly LineLevel[] = ["trace", "debug", "info", "warn", "error"];

export type Facility = "channel" | "capture" | "egress" | "table";
const FACILITIES: readonly Facility[] = ["channel", "capture", "egress", "table"];

/** A log line of the packet thread. */
export interface Line {
	readonly level: LineLevel;
	readonly facility: Facility;
	readonly text: string;
}

/**
 * Labels and counters of the table in force, row by row (counters.ts has the columns).
 * The arrays are views of one buffer: the next `snapshot` overwrites them.
 */
export interface Snapshot {
	readonly tableGeneration: bigint;
	readonly ruleCount: number;
	readonly outputCount: number;
	readonly interfaceCount: number;
	/** 16 bytes each. */
	readonly ruleUids: Uint8Array;
	/** RULE_COUNTERS each. */
	readonly ruleCounters: BigUint64Array;
	/** Row of the rule that the output belongs to. */
	readonly outputRules: BigUint64Array;
	readonly outputKeys: BigUint64Array;
	/** OUTPUT_COUNTERS each. */
	readonly outputCounters: BigUint64Array;
	/** Names of 16 bytes each, NUL-padded: see `interfaceName`. */
	readonly interfaceNames: Uint8Array;
	/** INTERFACE_COUNTERS each. */
	readonly interfaceCounters: BigUint64Array;
	/** WORKER_COUNTERS. */
	readonly workerCounters: BigUint64Array;
}

export function interfaceName(snapshot: Snapshot, row: number): string {
	const start = row * LIMITS.interfaceNameBytes;
	const bytes = snapshot.interfaceNames.subarray(start, start + LIMITS.interfaceNameBytes);
	const end = bytes.indexOf(0);
	return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
}

/** Lays the views over what sluice_worker_snapshot wrote; pure. */
export function decodeSnapshot(buffer: ArrayBuffer): Snapshot {
	const header = new DataView(buffer, 0, SNAPSHOT.size);
	const ruleCount = header.getUint32(SNAPSHOT.ruleCount, true);
	const outputCount = header.getUint32(SNAPSHOT.outputCount, true);
	const interfaceCount = header.getUint32(SNAPSHOT.interfaceCount, true);
	let offset: number = SNAPSHOT.size;
	// Every column is a multiple of 8 bytes long, so that each of them is aligned.
	const bytes = (length: number): Uint8Array => {
		const view = new Uint8Array(buffer, offset, length);
		offset += length;
		return view;
	};
	const words = (length: number): BigUint64Array => {
		const view = new BigUint64Array(buffer, offset, length);
		offset += 8 * length;
		return view;
	};
	return {
		tableGeneration: header.getBigUint64(SNAPSHOT.tableGeneration, true),
		ruleCount,
		outputCount,
		interfaceCount,
		// In the order of the header's comment; the literal is evaluated from top to bottom.
		ruleUids: bytes(16 * ruleCount),
		ruleCounters: words(RULE_COUNTERS * ruleCount),
		outputRules: words(outputCount),
		outputKeys: words(outputCount),
		outputCounters: words(OUTPUT_COUNTERS * outputCount),
		interfaceNames: bytes(LIMITS.interfaceNameBytes * interfaceCount),
		interfaceCounters: words(INTERFACE_COUNTERS * interfaceCount),
		workerCounters: words(WORKER_COUNTERS),
	};
}

/** A started packet thread. Use nothing of it after `stop`. */
export class Worker {
	readonly #error = new Int32Array(1);
	readonly #text = new Uint8Array(LIMITS.messageBytes);
	#handle: bigint;
	#buffer = new ArrayBuffer(64 * 1024);

	private constructor(handle: bigint) {
		this.#handle = handle;
	}

	/** Connects to the supervisor's channel as that slot. `core` undefined: not pinned. */
	static start(channelName: string, slot: number, core: number | undefined): Worker {
		const handle = new BigUint64Array(1);
		const result = workerSymbols().sluice_worker_start(
			check.cString(channelName, "channelName", check.MAX_CHANNEL_NAME_BYTES),
			check.within(slot, "slot", 0, LIMITS.workers - 1),
			core === undefined ? -1 : check.within(core, "core", 0, 4095),
			handle,
		);
		succeed(result, `start packet thread on @${channelName}`);
		return new Worker(handle[0] ?? 0n);
	}

	/** What its packet thread does when nothing is ready; "adaptive" until somebody says otherwise. */
	setIdle(strategy: keyof typeof IDLE): void {
		succeed(
			workerSymbols().sluice_worker_set_idle(this.#alive(), IDLE[strategy]),
			`be ${strategy} when idle`,
		);
	}

	/**
	 * Takes from this process, for good, what no worker needs of the kernel (include/sluice.h).
	 * @throws DataplaneError where that cannot be had; the worker works all the same.
	 */
	confine(): void {
		this.#alive();
		succeed(workerSymbols().sluice_worker_confine(), "confine the worker");
	}

	/** `errno` is positive, and 0 unless it failed. */
	state(): { readonly state: WorkerState; readonly errno: number } {
		this.#error[0] = 0;
		const state = STATES[workerSymbols().sluice_worker_state(this.#alive(), this.#error)] ?? "fail";
		return { state, errno: state === "fail" ? Math.abs(this.#error[0] ?? 0) : 0 };
	}

	/** Ends the thread at a batch boundary. A second call does nothing. */
	stop(): void {
		if (this.#handle === 0n) return;
		const handle = this.#handle;
		this.#handle = 0n;
		workerSymbols().sluice_worker_stop(handle);
	}

	/** Undefined before counters and a table were installed. */
	snapshot(): Snapshot | undefined {
		for (;;) {
			const capacity = this.#buffer.byteLength;
			const result = workerSymbols().sluice_worker_snapshot(
				this.#alive(),
				new Uint8Array(this.#buffer),
				BigInt(capacity),
			);
			const bytes = succeed(Number(result), "take snapshot");
			if (bytes === 0) return undefined;
			if (bytes <= capacity) return decodeSnapshot(this.#buffer);
			// With room for growth, so that adding rules one by one does not allocate each time.
			this.#buffer = new ArrayBuffer(bytes + (bytes >> 1));
		}
	}

	/** Comes when there are notes or lines to take, or the thread has ended; ends after `stop`. One reader. */
	async *news(): AsyncGenerator<void> {
		const fd = succeed(workerSymbols().sluice_worker_news(this.#alive()), "hear news");
		for await (const _ of Bun.file(fd).stream()) yield;
	}

	/** The supervisor's next note: a copy. Undefined when there is none. */
	takeNote(): Uint8Array | undefined {
		const result = workerSymbols().sluice_worker_take_note(this.#alive(), this.#text, this.#text.length);
		const length = succeed(result, "take note");
		return length > 0 ? this.#text.slice(0, length) : undefined;
	}

	/** The packet thread's next log line. Undefined when there is none. */
	takeLine(): Line | undefined {
		const result = workerSymbols().sluice_worker_take_line(this.#alive(), this.#text, this.#text.length);
		const length = succeed(result, "take log line");
		if (length < 2) return undefined;
		return {
			level: LEVELS[(this.#text[0] ?? 0) - 1] ?? "error",
			facility: FACILITIES[this.#text[1] ?? 0] ?? "channel",
			text: Buffer.from(this.#text.subarray(2, length)).toString(),
		};
	}

	#alive(): bigint {
		if (this.#handle === 0n) throw new Error("the packet thread was stopped");
		return this.#handle;
	}
}
