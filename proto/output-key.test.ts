import { expect, test } from "bun:test";
import { outputKey } from "./output-key.ts";

/** As its authors write it down. */
function fnv1a(text: string): bigint {
	let hash = 0xcbf29ce484222325n;
	for (const byte of new TextEncoder().encode(text)) {
		hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
	}
	return hash;
}

test("it is FNV-1a of 64 bits", () => {
	expect(outputKey("r1", "239.10.1.1", 6001)).toBe(fnv1a("r1|239.10.1.1|6001"));
	for (let k = 0; k < 20_000; k += 1) {
		const name = `é${k.toString(36)}`;
		expect(outputKey(name, `239.1.${k >> 8}.${k & 255}`, k)).toBe(
			fnv1a(`${name}|239.1.${k >> 8}.${k & 255}|${k}`),
		);
	}
});
