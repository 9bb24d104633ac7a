import { SaxesParser } from "saxes";

/** The tests of one JUnit report, each under its full name ("group > test"). */
export interface Report {
	passed: readonly string[];
	failed: readonly string[];
	skipped: readonly string[];
}

/** Reads a report as bun writes it: a suite for the file, nested suites for `describe`, cases in them. */
export function parseReport(xml: string): Report {
	const outcomes: Record<keyof Report, string[]> = { passed: [], failed: [], skipped: [] };
	const path: string[] = [];
	let outcome: keyof Report = "passed";

	const parser = new SaxesParser();
	parser.on("error", (error) => {
		throw error;
	});
	parser.on("opentag", ({ name, attributes }) => {
		if (name === "testsuite" || name === "testcase") path.push(attributes["name"] ?? "");
		if (name === "testcase") outcome = "passed";
		if (name === "failure" || name === "error") outcome = "failed";
		if (name === "skipped") outcome = "skipped";
	});
	parser.on("closetag", ({ name }) => {
		// The first suite is the file, whose name the caller knows.
		if (name === "testcase") outcomes[outcome].push(path.slice(1).join(" > "));
		if (name === "testsuite" || name === "testcase") path.pop();
	});
	parser.write(xml).close();
	return outcomes;
}
