/** FNV-1a of 64 bits in two halves, since a bigint for each byte takes four times as long; the prime is 2^40 + this. */
const PRIME_REST = 0x1b3;
const OFFSET_BASIS = { high: 0xcbf29ce4, low: 0x84222325 };

/**
 * Names one output within its rule: FNV-1a, 64 bit, over "interface|address|port".
 * Derived instead of stored, so that it needs no writer and an edited rule keeps
 * the counters of the outputs that stay.
 */
export function outputKey(interfaceName: string, address: string, port: number): bigint {
	const bytes = new TextEncoder().encode(`${interfaceName}|${address}|${port}`);
	let { high, low } = OFFSET_BASIS;
	for (let at = 0; at < bytes.length; at += 1) {
		low ^= bytes[at] ?? 0;
		const carry = ((((low & 0xffff) * PRIME_REST) >>> 16) + (low >>> 16) * PRIME_REST) >>> 16;
		high = (Math.imul(high, PRIME_REST) + carry + (low << 8)) | 0;
		low = Math.imul(low, PRIME_REST);
	}
	return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
