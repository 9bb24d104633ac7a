const FNV_OFFSET_BASIS = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;
const MASK_64 = 0xffffffffffffffffn;

/**
 * Names one output within its rule: FNV-1a, 64 bit, over "interface|address|port".
 * Derived instead of stored, so that it needs no writer and an edited rule keeps
 * the counters of the outputs that stay.
 */
export function outputKey(interfaceName: string, address: string, port: number): bigint {
	let hash = FNV_OFFSET_BASIS;
	for (const byte of new TextEncoder().encode(`${interfaceName}|${address}|${port}`)) {
		hash = ((hash ^ BigInt(byte)) * FNV_PRIME) & MASK_64;
	}
	return hash;
}
