/** What the runner runs, and what comes of it. */

export interface Skip {
	name: string;
	reason: string;
}

export interface Outcome {
	passed: number;
	/** Names of the tests that failed. */
	failed: readonly string[];
	skips: readonly Skip[];
	/** What it measured, and what it could not hold to a promise: shown also when all passed. */
	notes?: readonly string[];
	/** Everything that the suite printed; shown when something failed. */
	output: string;
}

/** One line of progress: a check, a C test program, or a file of bun tests. */
export interface Suite {
	name: string;
	/** Heavy suites make namespaces and whole clusters: they run alone, and only as root. */
	heavy: boolean;
	run(): Promise<Outcome>;
}

export function passed(output = ""): Outcome {
	return { passed: 1, failed: [], skips: [], output };
}

export function failed(name: string, output: string): Outcome {
	return { passed: 0, failed: [name], skips: [], output };
}

export function skipped(name: string, reason: string): Outcome {
	return { passed: 0, failed: [], skips: [{ name, reason }], output: "" };
}
