/** Everything is bounded; these are the bounds that a user can meet. */
export const limits = {
	rules: 20_000,
	outputsPerRule: 256,
	sourcesPerRule: 64,
	hostsPerRule: 64,
	/** IFNAMSIZ − 1. */
	interfaceNameBytes: 15,
	/** Warnings in one answer. */
	warnings: 100,
	/** Lines that say how one rule changed. */
	changeLinesPerRule: 32,
	/** Such lines in one answer, so that it fits a message. */
	changeLines: 10_000,
	pageRules: 1_000,
} as const;
