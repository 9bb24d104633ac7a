import { fstatSync, readSync } from "node:fs";

/** Of a memory's bytes. */
export function fingerprintOf(descriptor: number): string {
	const bytes = new Uint8Array(fstatSync(descriptor).size);
	for (let done = 0; done < bytes.length; ) {
		const read = readSync(descriptor, bytes, done, bytes.length - done, done);
		if (read === 0) break;
		done += read;
	}
	return Bun.hash(bytes).toString(16);
}
