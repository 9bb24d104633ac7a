/** IPv4 addresses as unsigned 32-bit numbers in host order. Pure. */

/** A source prefix; `address` has no bit set beyond `length`. */
export interface Prefix {
	readonly address: number;
	/** 0 to 32. */
	readonly length: number;
}

export const ANY_SOURCE: Prefix = { address: 0, length: 0 };

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;

/** Dotted quad without leading zeros, which some programs read as octal; undefined when it is not one. */
export function parseIpv4(text: string): number | undefined {
	const octets = text.split(".");
	if (octets.length !== 4) return undefined;
	let address = 0;
	for (const octet of octets) {
		if (!OCTET.test(octet)) return undefined;
		const value = Number(octet);
		if (value > 255) return undefined;
		address = address * 256 + value;
	}
	return address;
}

export function formatIpv4(address: number): string {
	return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join(".");
}

/** Network mask of a prefix length, as an unsigned number. */
export function maskOf(length: number): number {
	return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}

/** "10.0.0.5" (a /32) or "10.0.0.0/24"; host bits are cleared. Undefined when it is neither. */
export function parsePrefix(text: string): Prefix | undefined {
	const slash = text.indexOf("/");
	const address = parseIpv4(slash < 0 ? text : text.slice(0, slash));
	if (address === undefined) return undefined;
	if (slash < 0) return { address, length: 32 };
	const lengthText = text.slice(slash + 1);
	if (!/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(lengthText)) return undefined;
	const length = Number(lengthText);
	return { address: (address & maskOf(length)) >>> 0, length };
}

/** A /32 is written as a plain address. */
export function formatPrefix(prefix: Prefix): string {
	const address = formatIpv4(prefix.address);
	return prefix.length === 32 ? address : `${address}/${prefix.length}`;
}

/** 224.0.0.0/4. */
export function isMulticast(address: number): boolean {
	return address >>> 28 === 0xe;
}

/** 224.0.0.0/24: link-local control traffic that routers must not forward (RFC 5771). */
export function isLocalControl(address: number): boolean {
	return address >>> 8 === 0xe00000;
}

/** Looks like an IPv6 address, well formed or not: enough to give the right refusal. */
export function looksLikeIpv6(text: string): boolean {
	return text.includes(":");
}
