/** The most that a message can say of a counter. */
const MOST = 2n ** 64n - 1n;

/** A sum that stays at the most: no worker's lie makes all others' figures unspeakable. */
export function plus(a: bigint, b: bigint): bigint {
	const sum = a + b;
	return sum > MOST ? MOST : sum;
}
