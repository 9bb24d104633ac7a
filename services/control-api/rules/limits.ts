/** Everything is bounded; these are the bounds that a user can meet. */
export const limits = {
	rules: 20_000,
	outputsPerRule: 256,
	sourcesPerRule: 64,
	hostsPerRule: 64,
	/** Rules with labels on one input and source prefix; each is compared with all of them. */
	labelledRulesPerInput: 1_024,
	/** IFNAMSIZ − 1. */
	interfaceNameBytes: 15,
	/** Rules that one warning names. */
	namesPerWarning: 8,
	/** Pairs of rules with one output that are looked at for the warnings of one edit. */
	comparedOutputs: 100_000,
	/** Warnings in one answer. */
	warnings: 100,
	/** Lines that say how one rule changed. */
	changeLinesPerRule: 32,
	/** Such lines in one answer, so that it fits a message. */
	changeLines: 10_000,
	pageRules: 1_000,
} as const;

/** Least and greatest value of the numbers of a rule. */
export const ranges = {
	port: { least: 1, most: 65_535 },
	ttl: { least: 1, most: 255 },
	dscp: { least: 0, most: 63 },
	vlan: { least: 1, most: 4_094 },
} as const;

export interface Range {
	readonly least: number;
	readonly most: number;
}

export function outOfRange(value: unknown, range: Range): string {
	return `${String(value)} is not ${range.least} to ${range.most}`;
}
