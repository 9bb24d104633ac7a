import { ftruncateSync, readSync, writeSync } from "node:fs";
import { z } from "zod";

const count = z.int().nonnegative();

/** What a successor cannot learn from descriptors and workers. */
const notes = z.object({
	/** Both must be the reader's own. */
	incarnation: z.string(),
	abiVersion: count,
	/** Of the last table. */
	generation: z.string().regex(/^[0-9]{1,19}$/),
	/** Of its bytes; "": there was none. */
	fingerprint: z.string(),
	/** Sockets that workers have, by the number that tables name them by. */
	egress: z
		.array(z.object({ key: z.string(), ifindex: count, sourcePort: count, bindAddress: count, slot: count }))
		.readonly(),
	/** Whose counters lie where; the same in every worker's memory. */
	blocks: z.object({
		next: count,
		owned: z.array(z.tuple([z.string(), count, count]).readonly()).readonly(),
		free: z.array(z.tuple([count, z.array(count).readonly()]).readonly()).readonly(),
	}),
	interfaces: z.array(z.string()).readonly(),
});
export type Notes = z.output<typeof notes>;

/** Sequence (u64), length and checksum (u32) of what follows; sequence 0: nothing whole. */
const HEADER_BYTES = 16;

/**
 * Two memories, written in turn, so that one of them is always whole, wherever the writer
 * was killed.
 */
export class NotesMemory {
	readonly #fds: readonly number[];
	#sequence: bigint;

	constructor(fds: readonly number[]) {
		this.#fds = fds;
		const sequences = fds.map((fd) => readHeader(fd).getBigUint64(0, true));
		this.#sequence = sequences.toSorted((a, b) => (a < b ? 1 : -1))[0] ?? 0n;
	}

	/** Nothing was ever written. */
	get isBlank(): boolean {
		return this.#sequence === 0n;
	}

	write(value: Notes): void {
		this.#sequence += 1n;
		const fd = this.#fds[Number(this.#sequence % 2n)];
		if (fd === undefined) return;
		const text = Buffer.from(JSON.stringify(value));
		const header = new DataView(new ArrayBuffer(HEADER_BYTES));
		writeAll(fd, new Uint8Array(header.buffer), 0);
		ftruncateSync(fd, HEADER_BYTES + text.length);
		writeAll(fd, text, HEADER_BYTES);
		header.setBigUint64(0, this.#sequence, true);
		header.setUint32(8, text.length, true);
		header.setUint32(12, Bun.hash.crc32(text), true);
		writeAll(fd, new Uint8Array(header.buffer), 0);
	}

	/** What was written last; undefined when there is nothing, or nothing that can be understood. */
	read(): Notes | undefined {
		const texts = this.#fds.map(readWhole).filter((read) => read !== undefined);
		const last = texts.toSorted((a, b) => (a.sequence < b.sequence ? 1 : -1))[0];
		if (last === undefined) return undefined;
		try {
			return notes.safeParse(JSON.parse(last.text)).data;
		} catch {
			return undefined;
		}
	}
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
	for (let done = 0; done < bytes.length; ) {
		done += writeSync(fd, bytes, done, bytes.length - done, position + done);
	}
}

function readHeader(fd: number): DataView {
	const header = new Uint8Array(HEADER_BYTES);
	readSync(fd, header, 0, HEADER_BYTES, 0);
	return new DataView(header.buffer);
}

function readWhole(fd: number): { readonly sequence: bigint; readonly text: string } | undefined {
	const header = readHeader(fd);
	const sequence = header.getBigUint64(0, true);
	const bytes = Buffer.alloc(header.getUint32(8, true));
	for (let done = 0; done < bytes.length; ) {
		const read = readSync(fd, bytes, done, bytes.length - done, HEADER_BYTES + done);
		if (read === 0) return undefined;
		done += read;
	}
	const whole = sequence > 0n && Bun.hash.crc32(bytes) === header.getUint32(12, true);
	return whole ? { sequence, text: bytes.toString() } : undefined;
}
