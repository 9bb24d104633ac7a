/**
 * Encodes resolved rules, outputs and interfaces (include/sluice.h) into buffers that
 * are used again for every table: at 10,000 rules there is nothing to collect afterwards.
 */
import { u64, within } from "./check.ts";
import { DataplaneError } from "./errors.ts";
import { INTERFACE_RECORD, LIMITS, OUTPUT_RECORD, RULE_RECORD, SOURCE_RECORD } from "./layout.ts";
import { errorText, supervisorSymbols } from "./library.ts";

/** Addresses, ports and everything else in host order. */
export interface SourcePrefix {
	/** Without bits beyond the prefix. */
	readonly network: number;
	readonly prefixBits: number;
}

export interface OutputRecord {
	/** outputKey() of @sluice/proto. */
	readonly key: bigint;
	readonly ifindex: number;
	readonly egressSlot: number;
	readonly destination: number;
	readonly source: number;
	readonly port: number;
	readonly ttl: number;
	readonly dscp: number;
	readonly mtu: number;
	readonly counterIndex: number;
	/** False while its interface is gone or down: nothing is eligible then. */
	readonly usable: boolean;
}

export interface RuleRecord {
	/** 16 bytes. */
	readonly uid: Uint8Array;
	readonly inputIfindex: number;
	/** Destination of the datagrams: a group, or an address of this host. */
	readonly group: number;
	readonly port: number;
	/** 0: untagged frames only. */
	readonly vlan: number;
	readonly counterIndex: number;
	/** None: any source. */
	readonly sources: readonly SourcePrefix[];
	readonly outputs: readonly OutputRecord[];
}

export interface InterfaceRecord {
	readonly name: string;
	readonly ifindex: number;
	readonly counterIndex: number;
}

/** A rule that the library refused: two with the same key and prefix, or a value out of range. */
export class TableError extends DataplaneError {
	constructor(
		errno: number,
		text: string,
		/** Which of the added rules, from 0; undefined when it is none in particular. */
		readonly ruleIndex: number | undefined,
	) {
		super(ruleIndex === undefined ? "build table" : `build table: rule ${ruleIndex}`, errno, text);
	}
}

const OUTPUT_UNUSABLE = 1;
const NO_RULE = 0xffffffff;

/** Records of one size, one after another, in a buffer that grows by doubling and never shrinks. */
class RecordBuffer {
	bytes: Uint8Array;
	view: DataView;
	count = 0;

	constructor(
		private readonly recordBytes: number,
		private readonly limit: number,
		private readonly what: string,
	) {
		this.bytes = new Uint8Array(recordBytes * 64);
		this.view = new DataView(this.bytes.buffer);
	}

	/** The offset of a new record, whose bytes are whatever was there before. */
	next(): number {
		if (this.count === this.limit) throw new RangeError(`a table holds at most ${this.limit} ${this.what}`);
		const offset = this.count * this.recordBytes;
		if (offset === this.bytes.length) {
			const grown = new Uint8Array(this.bytes.length * 2);
			grown.set(this.bytes);
			this.bytes = grown;
			this.view = new DataView(grown.buffer);
		}
		this.count += 1;
		return offset;
	}
}

const text = new TextEncoder();

/**
 * Collects the records of one table. Use one for the life of the process: `reset`,
 * add everything, `build`.
 */
export class TableBuilder {
	readonly #rules = new RecordBuffer(RULE_RECORD.size, LIMITS.rules, "rules");
	readonly #sources = new RecordBuffer(SOURCE_RECORD.size, LIMITS.sources, "sources");
	readonly #outputs = new RecordBuffer(OUTPUT_RECORD.size, LIMITS.outputs, "outputs");
	readonly #interfaces = new RecordBuffer(INTERFACE_RECORD.size, LIMITS.interfaces, "interfaces");
	readonly #badRule = new Uint32Array(1);

	get ruleCount(): number {
		return this.#rules.count;
	}

	reset(): void {
		for (const records of [this.#rules, this.#sources, this.#outputs, this.#interfaces]) records.count = 0;
	}

	addInterface(record: InterfaceRecord): void {
		const name = text.encode(record.name);
		within(name.length, "length of the interface name", 1, LIMITS.interfaceNameBytes - 1);
		const { bytes, view, offset } = this.#place(this.#interfaces);
		bytes.fill(0, offset, offset + INTERFACE_RECORD.size);
		bytes.set(name, offset + INTERFACE_RECORD.name);
		view.setUint32(offset + INTERFACE_RECORD.ifindex, within(record.ifindex, "ifindex", 1, 0x7fffffff), true);
		view.setUint32(
			offset + INTERFACE_RECORD.counterIndex,
			within(record.counterIndex, "counterIndex", 0, LIMITS.counters),
			true,
		);
	}

	/** The index of the rule in this table. */
	addRule(rule: RuleRecord): number {
		within(rule.uid.length, "length of the uid", 16, 16);
		within(rule.outputs.length, "number of outputs", 0, LIMITS.outputsPerRule);
		const sourceFirst = this.#sources.count;
		const outputFirst = this.#outputs.count;
		for (const source of rule.sources) this.#addSource(source);
		for (const output of rule.outputs) this.#addOutput(output);

		const { bytes, view, offset } = this.#place(this.#rules);
		bytes.set(rule.uid, offset + RULE_RECORD.uid);
		view.setUint32(
			offset + RULE_RECORD.inputIfindex,
			within(rule.inputIfindex, "inputIfindex", 1, 0x7fffffff),
			true,
		);
		view.setUint32(offset + RULE_RECORD.groupBe, within(rule.group, "group", 1, 0xffffffff), false);
		view.setUint16(offset + RULE_RECORD.portBe, within(rule.port, "port", 1, 0xffff), false);
		view.setUint16(offset + RULE_RECORD.vlan, within(rule.vlan, "vlan", 0, 4094), true);
		view.setUint32(offset + RULE_RECORD.sourceFirst, sourceFirst, true);
		view.setUint32(offset + RULE_RECORD.sourceCount, rule.sources.length, true);
		view.setUint32(offset + RULE_RECORD.outputFirst, outputFirst, true);
		view.setUint32(offset + RULE_RECORD.outputCount, rule.outputs.length, true);
		view.setUint32(
			offset + RULE_RECORD.counterIndex,
			within(rule.counterIndex, "counterIndex", 0, LIMITS.counters),
			true,
		);
		bytes.fill(0, offset + RULE_RECORD.reserved, offset + RULE_RECORD.size);
		return this.#rules.count - 1;
	}

	/**
	 * The finished table in a sealed memfd, which belongs to the caller. `generation`
	 * comes back in every worker's snapshot.
	 */
	build(generation: bigint): number {
		this.#badRule[0] = NO_RULE;
		const result = supervisorSymbols().sluice_table_build(
			u64(generation, "generation"),
			this.#rules.bytes,
			this.#rules.count,
			this.#sources.bytes,
			this.#sources.count,
			this.#outputs.bytes,
			this.#outputs.count,
			this.#interfaces.bytes,
			this.#interfaces.count,
			this.#badRule,
		);
		if (result >= 0) return result;
		const bad = this.#badRule[0] ?? NO_RULE;
		throw new TableError(-result, errorText(-result), bad < this.#rules.count ? bad : undefined);
	}

	#place(records: RecordBuffer): { bytes: Uint8Array; view: DataView; offset: number } {
		const offset = records.next();
		return { bytes: records.bytes, view: records.view, offset };
	}

	#addSource(source: SourcePrefix): void {
		const { view, offset } = this.#place(this.#sources);
		view.setUint32(offset + SOURCE_RECORD.networkBe, within(source.network, "network", 0, 0xffffffff), false);
		view.setUint32(offset + SOURCE_RECORD.prefixBits, within(source.prefixBits, "prefixBits", 0, 32), true);
	}

	#addOutput(output: OutputRecord): void {
		const { bytes, view, offset } = this.#place(this.#outputs);
		const at = OUTPUT_RECORD;
		view.setBigUint64(offset + at.key, u64(output.key, "key"), true);
		view.setUint32(offset + at.ifindex, within(output.ifindex, "ifindex", 1, 0x7fffffff), true);
		view.setUint32(
			offset + at.egressSlot,
			within(output.egressSlot, "egressSlot", 0, LIMITS.egress - 1),
			true,
		);
		view.setUint32(
			offset + at.destinationBe,
			within(output.destination, "destination", 1, 0xffffffff),
			false,
		);
		view.setUint32(offset + at.sourceBe, within(output.source, "source", 0, 0xffffffff), false);
		view.setUint16(offset + at.portBe, within(output.port, "port", 1, 0xffff), false);
		view.setUint8(offset + at.ttl, within(output.ttl, "ttl", 1, 255));
		view.setUint8(offset + at.tos, within(output.dscp, "dscp", 0, 63) << 2);
		view.setUint32(offset + at.mtu, within(output.mtu, "mtu", 0, 0xffffffff), true);
		view.setUint32(
			offset + at.counterIndex,
			within(output.counterIndex, "counterIndex", 0, LIMITS.counters),
			true,
		);
		view.setUint32(offset + at.flags, output.usable ? 0 : OUTPUT_UNUSABLE, true);
		bytes.fill(0, offset + at.reserved, offset + at.size);
	}
}
