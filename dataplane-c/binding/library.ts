/**
 * libsluice.so: found, loaded once, and refused unless it is the one that this
 * binding was written for. The only file, with worker.ts, that knows C signatures.
 */

import { CString, dlopen, type FFIFunction, FFIType, type Pointer } from "bun:ffi";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { COUNTER_NUMBERS } from "./counters.ts";
import { DataplaneError } from "./errors.ts";
import { ABI_VERSION, expectedLayout, layoutDifference } from "./layout.ts";

const { ptr, i32, u16, u32, u64 } = FFIType;
const nothing = FFIType.void;

const ABOUT_SYMBOLS = {
	sluice_abi_version: { args: [], returns: u32 },
	sluice_layout: { args: [], returns: ptr },
	sluice_error_text: { args: [i32], returns: ptr },
} as const satisfies Record<string, FFIFunction>;

const SUPERVISOR_SYMBOLS = {
	sluice_probe: { args: [ptr], returns: i32 },
	sluice_links: { args: [ptr, u32], returns: i32 },
	sluice_link_driver: { args: [ptr, ptr], returns: i32 },
	sluice_events_start: { args: [ptr, u32], returns: i32 },
	sluice_channel_listen: { args: [ptr], returns: i32 },
	sluice_events_start_on: { args: [i32, u32], returns: i32 },
	sluice_events_stop: { args: [], returns: nothing },
	sluice_channel_send: { args: [u32, ptr, u32, ptr, u32], returns: i32 },
	sluice_channel_disconnect: { args: [u32], returns: nothing },
	sluice_life_watch: { args: [u32, i32], returns: i32 },
	sluice_successor_name: { args: [u32, u32, ptr, ptr], returns: i32 },
	sluice_successor_withdraw: { args: [u32], returns: i32 },
	sluice_notify_send: { args: [ptr, u32, ptr, u32], returns: i32 },
	sluice_notify_barrier: { args: [], returns: i32 },
	sluice_listen_fds: { args: [], returns: i32 },
	sluice_memory_create: { args: [], returns: i32 },
	sluice_process_open: { args: [i32], returns: i32 },
	sluice_process_has_ended: { args: [i32], returns: i32 },
	sluice_process_exit_status: { args: [i32], returns: i32 },
	sluice_process_signal: { args: [i32, i32], returns: i32 },
	sluice_thread_realtime: { args: [i32], returns: i32 },
	sluice_filter_create: { args: [u32, u32, ptr], returns: i32 },
	sluice_filter_add: { args: [i32, u32], returns: i32 },
	sluice_filter_remove: { args: [i32, u32], returns: i32 },
	sluice_filter_list: { args: [i32, ptr, u32], returns: i32 },
	sluice_filter_log: { args: [], returns: ptr },
	sluice_ring_plan: { args: [u32, u64, u32, ptr], returns: i32 },
	sluice_shards_open: { args: [u32, u32, ptr, i32, ptr], returns: i32 },
	sluice_shard_interface: { args: [i32], returns: i32 },
	sluice_shard_state_create: { args: [], returns: i32 },
	sluice_shard_settle: { args: [i32, i32], returns: i32 },
	sluice_shard_driver: { args: [i32], returns: i32 },
	sluice_counters_create: { args: [u32], returns: i32 },
	sluice_counters_zero: { args: [i32, u32, u32], returns: i32 },
	sluice_membership_open: { args: [], returns: i32 },
	sluice_membership_join: { args: [i32, u32, u32, u32], returns: i32 },
	sluice_membership_leave: { args: [i32, u32, u32, u32], returns: i32 },
	sluice_drain_open: { args: [u32, u32, u16], returns: i32 },
	sluice_egress_open: { args: [u32, u32, u16], returns: i32 },
	sluice_close: { args: [i32], returns: i32 },
	sluice_table_build: { args: [u64, ptr, u32, ptr, u32, ptr, u32, ptr, u32, ptr], returns: i32 },
} as const satisfies Record<string, FFIFunction>;

const WORKER_SYMBOLS = {
	sluice_worker_start: { args: [ptr, u32, i32, ptr], returns: i32 },
	sluice_worker_set_idle: { args: [u64, u32], returns: i32 },
	sluice_worker_confine: { args: [], returns: i32 },
	sluice_worker_state: { args: [u64, ptr], returns: i32 },
	sluice_worker_stop: { args: [u64], returns: nothing },
	sluice_worker_snapshot: { args: [u64, ptr, u64], returns: FFIType.i64_fast },
	sluice_worker_news: { args: [u64], returns: i32 },
	sluice_worker_take_note: { args: [u64, ptr, u32], returns: i32 },
	sluice_worker_take_line: { args: [u64, ptr, u32], returns: i32 },
} as const satisfies Record<string, FFIFunction>;

/** Where libsluice.so is looked for, in order. */
function candidates(): string[] {
	const override = process.env["SLUICE_LIB"];
	if (override) return [override];
	return [
		// Bundled: beside the bundle, wherever it lies now.
		join(dirname(Bun.main), "libsluice.so"),
		// From source: dataplane-c/binding in a checkout.
		join(import.meta.dir, "../../build/libsluice.so"),
	];
}

function findLibrary(): string {
	const paths = candidates();
	const found = paths.find((path) => existsSync(path));
	if (!found) throw new Error(`libsluice.so is not there: looked for ${paths.join(" and ")}`);
	return found;
}

function openAbout(path: string) {
	try {
		return dlopen(path, ABOUT_SYMBOLS).symbols;
	} catch (cause) {
		throw new Error(`${path} can't be loaded: ${cause instanceof Error ? cause.message : String(cause)}`, {
			cause,
		});
	}
}

/** The text behind a `const char *` that the library keeps. User addresses fit a double's 53 bits. */
function staticText(pointer: Pointer | bigint | null): string {
	return pointer === null ? "" : new CString(Number(pointer) as Pointer).toString();
}

function loadAbout() {
	const path = findLibrary();
	const symbols = openAbout(path);
	const version = symbols.sluice_abi_version();
	if (version !== ABI_VERSION) {
		throw new Error(`${path} speaks ABI version ${version}, this program ${ABI_VERSION}: build both anew`);
	}
	const layout = staticText(symbols.sluice_layout());
	const difference = layoutDifference(layout, expectedLayout(COUNTER_NUMBERS));
	if (difference) throw new Error(`${path} does not fit this program: ${difference}: build both anew`);
	return { path, symbols, layout };
}

/** A value that is made when it is first asked for. A failure is not kept. */
function lazily<T>(make: () => T): () => T {
	let made: { value: T } | undefined;
	return () => {
		made ??= { value: make() };
		return made.value;
	};
}

const about = lazily(loadAbout);

/** The calls of the supervisor half. Throws one clear line when the library is missing or does not fit. */
export const supervisorSymbols = lazily(() => dlopen(about().path, SUPERVISOR_SYMBOLS).symbols);
/** The calls of the worker half. */
export const workerSymbols = lazily(() => dlopen(about().path, WORKER_SYMBOLS).symbols);

/** What the library says of its structures. */
export function libraryLayout(): string {
	return about().layout;
}

/** The C library's text for an errno, of either sign. */
export function errorText(errno: number): string {
	return staticText(about().symbols.sluice_error_text(errno));
}

/** The result of a call, or the error that a negative one means. */
export function succeed(result: number, operation: string): number {
	if (result >= 0) return result;
	throw new DataplaneError(operation, -result, errorText(-result));
}

/** What the verifier said when the capture filter was last refused. */
export function filterLog(): string {
	return staticText(supervisorSymbols().sluice_filter_log());
}
