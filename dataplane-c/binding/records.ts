/**
 * Encodes resolved rules, outputs and interfaces (include/sluice.h) into buffers that
 * are used again for every table: at 10,000 rules there is nothing to collect afterwards.
 */
import * as check from "./check.ts";
import { DataplaneError } from "./errors.ts";
import { INTERFACE_RECORD, LIMITS, OUTPUT_RECORD, RULE_RECORD, SOURCE_RECORD } from "./layout.ts";
import { errorText, supervisorSymbols } from "./library.ts";
import { RecordBuffer } from "./record-buffer.ts";

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

const utf8 = new TextEncoder();

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
		for (const records of [this.#rules, this.#sources, this.#outputs, this.#interfaces]) records.rewind(0);
	}

	addInterface(record: InterfaceRecord): void {
		const name = utf8.encode(record.name);
		check.within(name.length, "length of the interface name", 1, LIMITS.interfaceNameBytes - 1);
		const ifindex = check.ifindex(record.ifindex);
		const counterIndex = check.counterBlock(record.counterIndex);
		const records = this.#interfaces;
		records.begin();
		records.copy(INTERFACE_RECORD.name, name);
		records.u32(INTERFACE_RECORD.ifindex, ifindex);
		records.u32(INTERFACE_RECORD.counterIndex, counterIndex);
	}

	/** The index of the rule in this table. A rule that is refused leaves nothing behind. */
	addRule(rule: RuleRecord): number {
		const ruleIndex = this.#rules.count;
		const sourceFirst = this.#sources.count;
		const outputFirst = this.#outputs.count;
		try {
			for (const source of rule.sources) this.#addSource(source);
			for (const output of rule.outputs) this.#addOutput(output);
			this.#addRule(rule, sourceFirst, outputFirst);
		} catch (error) {
			this.#rules.rewind(ruleIndex);
			this.#sources.rewind(sourceFirst);
			this.#outputs.rewind(outputFirst);
			throw error;
		}
		return ruleIndex;
	}

	/**
	 * The finished table in a sealed memfd, which belongs to the caller. `generation`
	 * comes back in every worker's snapshot.
	 */
	build(generation: bigint): number {
		this.#badRule[0] = NO_RULE;
		const result = supervisorSymbols().sluice_table_build(
			check.u64(generation, "generation"),
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

	#addRule(rule: RuleRecord, sourceFirst: number, outputFirst: number): void {
		check.within(rule.uid.length, "length of the uid", 16, 16);
		check.within(rule.outputs.length, "number of outputs", 0, LIMITS.outputsPerRule);
		const at = RULE_RECORD;
		const records = this.#rules;
		records.begin();
		records.copy(at.uid, rule.uid);
		records.u32(at.inputIfindex, check.ifindex(rule.inputIfindex));
		records.u32be(at.groupBe, check.address(rule.group, "group"));
		records.u16be(at.portBe, check.port(rule.port, "port"));
		records.u16(at.vlan, check.within(rule.vlan, "vlan", 0, 4094));
		records.u32(at.sourceFirst, sourceFirst);
		records.u32(at.sourceCount, rule.sources.length);
		records.u32(at.outputFirst, outputFirst);
		records.u32(at.outputCount, rule.outputs.length);
		records.u32(at.counterIndex, check.counterBlock(rule.counterIndex));
	}

	#addSource(source: SourcePrefix): void {
		const records = this.#sources;
		records.begin();
		records.u32be(SOURCE_RECORD.networkBe, check.u32(source.network, "network"));
		records.u32(SOURCE_RECORD.prefixBits, check.within(source.prefixBits, "prefixBits", 0, 32));
	}

	#addOutput(output: OutputRecord): void {
		const at = OUTPUT_RECORD;
		const records = this.#outputs;
		records.begin();
		records.u64(at.key, check.u64(output.key, "key"));
		records.u32(at.ifindex, check.ifindex(output.ifindex));
		records.u32(at.egressSlot, check.within(output.egressSlot, "egressSlot", 0, LIMITS.egress - 1));
		records.u32be(at.destinationBe, check.address(output.destination, "destination"));
		records.u32be(at.sourceBe, check.addressOrNone(output.source, "source"));
		records.u16be(at.portBe, check.port(output.port, "port"));
		records.u8(at.ttl, check.within(output.ttl, "ttl", 1, 255));
		records.u8(at.tos, check.within(output.dscp, "dscp", 0, 63) << 2);
		records.u32(at.mtu, check.u32(output.mtu, "mtu"));
		records.u32(at.counterIndex, check.counterBlock(output.counterIndex));
		records.u32(at.flags, output.usable ? 0 : OUTPUT_UNUSABLE);
	}
}
