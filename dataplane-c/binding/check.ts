/**
 * Argument checks. bun:ffi turns null, undefined and fractions into zeros without a
 * word, so nothing reaches C that did not pass one of these. What they throw is a
 * programmer's error.
 */
import { WORKER_COUNTERS } from "./counters.ts";
import { LIMITS } from "./layout.ts";

function integer(value: number, name: string, least: number, most: number): number {
	if (!Number.isInteger(value) || value < least || value > most) {
		throw new RangeError(`${name} must be a whole number from ${least} to ${most}, not ${String(value)}`);
	}
	return value;
}

export function u32(value: number, name: string): number {
	return integer(value, name, 0, 0xffffffff);
}

export function u16(value: number, name: string): number {
	return integer(value, name, 0, 0xffff);
}

export function port(value: number, name: string): number {
	return integer(value, name, 1, 0xffff);
}

export function ifindex(value: number): number {
	return integer(value, "ifindex", 1, 0x7fffffff);
}

export function count(value: number, name: string, most: number): number {
	return integer(value, name, 1, most);
}

/** A descriptor: never one of the standard three, which no call of the library returns. */
export function fd(value: number, name: string): number {
	return integer(value, name, 3, 0x7fffffff);
}

/** An IPv4 address, in host order. */
export function address(value: number, name: string): number {
	return integer(value, name, 1, 0xffffffff);
}

export function addressOrNone(value: number, name: string): number {
	return integer(value, name, 0, 0xffffffff);
}

export function within(value: number, name: string, least: number, most: number): number {
	return integer(value, name, least, most);
}

/** The index of a counter block: blocks begin at cache lines, behind the worker's own. */
export function counterBlock(value: number): number {
	if (integer(value, "counterIndex", WORKER_COUNTERS, LIMITS.counters) % 8 !== 0) {
		throw new RangeError(`counterIndex must be a multiple of 8, not ${value}`);
	}
	return value;
}

export function u64(value: bigint, name: string): bigint {
	if (typeof value !== "bigint" || value < 0n || value > 0xffffffffffffffffn) {
		throw new RangeError(`${name} must be a bigint of 64 bits, not ${String(value)}`);
	}
	return value;
}

/** sun_path holds 108 bytes, and an abstract name begins with a NUL. */
export const MAX_CHANNEL_NAME_BYTES = 107;

/** A NUL-terminated copy, for a `const char *`. */
export function cString(value: string, name: string, maxBytes: number): Uint8Array {
	const bytes = Buffer.from(`${value}\0`);
	if (
		typeof value !== "string" ||
		value.length === 0 ||
		value.includes("\0") ||
		bytes.length > maxBytes + 1
	) {
		throw new RangeError(`${name} must be 1 to ${maxBytes} bytes of text without NUL`);
	}
	return bytes;
}
