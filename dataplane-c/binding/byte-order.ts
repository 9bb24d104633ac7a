/** Between host order, which all of TypeScript uses, and the network order of the C fields named _be. */

export function swap32(value: number): number {
	return (
		((value >>> 24) | ((value >>> 8) & 0xff00) | ((value << 8) & 0xff0000) | ((value << 24) & 0xff000000)) >>>
		0
	);
}

export function swap16(value: number): number {
	return ((value >>> 8) & 0xff) | ((value & 0xff) << 8);
}
