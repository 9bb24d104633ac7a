/**
 * Records of one size, one after another, in a buffer that grows by doubling and is
 * never given back: the next table needs about as much.
 */
export class RecordBuffer {
	bytes: Uint8Array;
	count = 0;
	#view: DataView;
	/** Of the record that is being written. */
	#offset = 0;

	constructor(
		private readonly recordBytes: number,
		private readonly limit: number,
		private readonly what: string,
	) {
		this.bytes = new Uint8Array(recordBytes * 64);
		this.#view = new DataView(this.bytes.buffer);
	}

	/** Starts the next record, all zero. */
	begin(): void {
		if (this.count === this.limit) throw new RangeError(`a table holds at most ${this.limit} ${this.what}`);
		this.#offset = this.count * this.recordBytes;
		if (this.#offset === this.bytes.length) this.#grow();
		this.bytes.fill(0, this.#offset, this.#offset + this.recordBytes);
		this.count += 1;
	}

	/** Forgets the records after the first `count`. */
	rewind(count: number): void {
		this.count = count;
	}

	copy(at: number, bytes: Uint8Array): void {
		this.bytes.set(bytes, this.#offset + at);
	}

	u8(at: number, value: number): void {
		this.#view.setUint8(this.#offset + at, value);
	}

	u16(at: number, value: number): void {
		this.#view.setUint16(this.#offset + at, value, true);
	}

	u32(at: number, value: number): void {
		this.#view.setUint32(this.#offset + at, value, true);
	}

	u64(at: number, value: bigint): void {
		this.#view.setBigUint64(this.#offset + at, value, true);
	}

	/** Network order. */
	u16be(at: number, value: number): void {
		this.#view.setUint16(this.#offset + at, value, false);
	}

	/** Network order. */
	u32be(at: number, value: number): void {
		this.#view.setUint32(this.#offset + at, value, false);
	}

	#grow(): void {
		const grown = new Uint8Array(this.bytes.length * 2);
		grown.set(this.bytes);
		this.bytes = grown;
		this.#view = new DataView(grown.buffer);
	}
}
