/**
 * The structures and numbers of include/sluice.h, as byte offsets. What stands here
 * is compared with what the library says of itself when it is loaded.
 *
 * Names are those of the header in lowerCamelCase; `size` is the whole structure.
 */

export const ABI_VERSION = 4;

export const RULE_RECORD = {
	size: 56,
	uid: 0,
	inputIfindex: 16,
	groupBe: 20,
	portBe: 24,
	vlan: 26,
	sourceFirst: 28,
	sourceCount: 32,
	outputFirst: 36,
	outputCount: 40,
	counterIndex: 44,
	reserved: 48,
} as const;

export const SOURCE_RECORD = { size: 8, networkBe: 0, prefixBits: 4 } as const;

export const OUTPUT_RECORD = {
	size: 48,
	key: 0,
	ifindex: 8,
	egressSlot: 12,
	destinationBe: 16,
	sourceBe: 20,
	portBe: 24,
	ttl: 26,
	tos: 27,
	mtu: 28,
	counterIndex: 32,
	flags: 36,
	reserved: 40,
} as const;

export const INTERFACE_RECORD = { size: 24, name: 0, ifindex: 16, counterIndex: 20 } as const;

export const FEATURES = {
	size: 16,
	kernelMajor: 0,
	kernelMinor: 4,
	uniqueFanout: 8,
	udpSegment: 9,
	vnetUdp: 10,
	ebpfFilter: 11,
	reserved: 12,
} as const;

export const LINK = {
	size: 104,
	name: 0,
	ifindex: 16,
	mtu: 20,
	flags: 24,
	carrierUps: 28,
	mac: 32,
	addressCount: 38,
	addressBe: 40,
} as const;

export const EVENT = { size: 32, kind: 0, connection: 4, pid: 8, atUs: 12, a: 16, b: 24 } as const;

export const RING = {
	size: 24,
	blockBytes: 0,
	blockCount: 4,
	frameBytes: 8,
	frameCount: 12,
	vnetHeader: 16,
	reserved: 20,
} as const;

export const MESSAGE = { size: 16, kind: 0, bytes: 4, sequence: 8 } as const;

export const ATTACH_SHARD = { size: 48, message: 0, shard: 16, ifindex: 20, ring: 24 } as const;

export const DETACH_SHARD = { size: 24, message: 0, shard: 16, reserved: 20 } as const;

export const EGRESS_SLOT = {
	size: 32,
	message: 0,
	slot: 16,
	ifindex: 20,
	options: 24,
	reserved: 28,
} as const;

export const SNAPSHOT = {
	size: 24,
	tableGeneration: 0,
	ruleCount: 8,
	outputCount: 12,
	interfaceCount: 16,
	reserved: 20,
} as const;

export const LIMITS = {
	workers: 64,
	interfaces: 64,
	rules: 20_000,
	outputsPerRule: 256,
	outputs: 262_144,
	sources: 131_072,
	egress: 16_384,
	counters: 8_388_608,
	messageBytes: 8192,
	interfaceNameBytes: 16,
	addressesPerLink: 16,
} as const;

const STRUCTURES: Record<string, Record<string, number>> = {
	sluice_rule_record: RULE_RECORD,
	sluice_source_record: SOURCE_RECORD,
	sluice_output_record: OUTPUT_RECORD,
	sluice_interface_record: INTERFACE_RECORD,
	sluice_features: FEATURES,
	sluice_link: LINK,
	sluice_event: EVENT,
	sluice_ring: RING,
	sluice_message: MESSAGE,
	sluice_attach_shard: ATTACH_SHARD,
	sluice_detach_shard: DETACH_SHARD,
	sluice_egress_slot: EGRESS_SLOT,
	sluice_snapshot: SNAPSHOT,
};

const NUMBERS: Record<string, number> = {
	SLUICE_MAX_WORKERS: LIMITS.workers,
	SLUICE_MAX_INTERFACES: LIMITS.interfaces,
	SLUICE_MAX_RULES: LIMITS.rules,
	SLUICE_MAX_OUTPUTS_PER_RULE: LIMITS.outputsPerRule,
	SLUICE_MAX_OUTPUTS: LIMITS.outputs,
	SLUICE_MAX_SOURCES: LIMITS.sources,
	SLUICE_MAX_EGRESS: LIMITS.egress,
	SLUICE_MAX_COUNTERS: LIMITS.counters,
	SLUICE_MAX_MESSAGE_BYTES: LIMITS.messageBytes,
	SLUICE_INTERFACE_NAME_BYTES: LIMITS.interfaceNameBytes,
	SLUICE_MAX_ADDRESSES_PER_LINK: LIMITS.addressesPerLink,
};

function snakeCase(name: string): string {
	return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Every line that sluice_layout() must have, with the numbers of this file and of counters.ts. */
export function expectedLayout(counterNumbers: Record<string, number>): Map<string, number> {
	const expected = new Map<string, number>();
	for (const [structure, fields] of Object.entries(STRUCTURES)) {
		for (const [field, value] of Object.entries(fields)) {
			expected.set(field === "size" ? structure : `${structure}.${snakeCase(field)}`, value);
		}
	}
	for (const [name, value] of Object.entries({ ...NUMBERS, ...counterNumbers })) expected.set(name, value);
	return expected;
}

/** What differs first between the library's own text and `expected`, in one line; undefined when nothing does. */
export function layoutDifference(text: string, expected: Map<string, number>): string | undefined {
	const actual = new Map<string, number>();
	for (const line of text.split("\n")) {
		const equals = line.indexOf("=");
		if (equals > 0) actual.set(line.slice(0, equals), Number(line.slice(equals + 1)));
	}
	for (const [name, value] of expected) {
		const said = actual.get(name);
		if (said !== value) return `${name} is ${said ?? "missing"} in the library, ${value} here`;
	}
	for (const [name, value] of actual) {
		if (!expected.has(name)) return `${name} is ${value} in the library, missing here`;
	}
	return undefined;
}
