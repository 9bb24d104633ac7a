/** What the runner runs, and what comes of it. */

export interface Failure {
	/** The file and the test in it. */
	name: string;
	/** Everything the reader needs; the whole output where the test does not say. */
	output: string;
}

export interface Skip {
	name: string;
	reason: string;
}

export interface Outcome {
	passed: number;
	failures: readonly Failure[];
	skips: readonly Skip[];
}

/** One line of progress: a check, a C test program or a file of bun tests. */
export interface Suite {
	name: string;
	/** Heavy suites make namespaces and clusters: one at a time, and only as root. */
	heavy: boolean;
	run(): Promise<Outcome>;
}

export function passed(count = 1): Outcome {
	return { passed: count, failures: [], skips: [] };
}

export function failed(name: string, output: string): Outcome {
	return { passed: 0, failures: [{ name, output }], skips: [] };
}

export function skipped(name: string, reason: string): Outcome {
	return { passed: 0, failures: [], skips: [{ name, reason }] };
}
