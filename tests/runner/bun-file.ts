import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout } from "../../scripts/owner.ts";
import { contained, describeEnd, type JobResult, runJob } from "./job.ts";
import { parseReport } from "./junit.ts";
import { failed, type Outcome, type Suite } from "./suite.ts";

/** For one test that hangs: whole clusters take a minute, and more on a machine that does something else as well. */
const TEST_TIMEOUT_MS = 240_000;

/** A test that skips prints a line "skipped: REASON", since bun has no place for one. */
function skipReason(output: string): string {
	const reasons = output.matchAll(/^skipped: (.+)$/gm).map(([, reason]) => reason);
	return [...new Set(reasons)].join("; ") || "the test gives no reason";
}

/** Lines "measured: FIGURES", "soak: WHAT CAME OF IT", and "not held: …" of a time that others left no room for. */
export function notesOf(output: string): string[] {
	return Array.from(output.matchAll(/^(?:measured|not held|soak): .+$/gm), ([line]) => line);
}

function toOutcome(file: string, result: JobResult, xml: string | undefined): Outcome {
	if (xml === undefined)
		return failed(file, `${result.output}\n${file}: ${describeEnd(result)}, no report\n`);
	const report = parseReport(xml);
	const reason = skipReason(result.output);
	const failures = [...report.failed];
	// An error outside any test (a leaked rejection, a limit reached) shows in the exit code alone.
	if (failures.length === 0 && result.exitCode !== 0) failures.push(describeEnd(result));
	return {
		passed: report.passed.length,
		failed: failures,
		skips: report.skipped.map((name) => ({ name, reason })),
		notes: notesOf(result.output),
		output: result.output,
	};
}

async function runFile(file: string, heavy: boolean): Promise<Outcome> {
	const folder = await mkdtemp(join(tmpdir(), "sluice-report-"));
	const reportPath = join(folder, "report.xml");
	const argv = [
		...[process.execPath, "test", "--timeout", String(TEST_TIMEOUT_MS)],
		...["--reporter=junit", `--reporter-outfile=${reportPath}`, `./${file}`],
	];
	try {
		const result = await runJob(heavy ? contained(argv) : argv, checkout);
		const xml = existsSync(reportPath) ? await readFile(reportPath, "utf8") : undefined;
		return toOutcome(file, result, xml);
	} catch (error) {
		return failed(file, `${file}: its report cannot be read: ${error}\n`);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

/** The suite of one file of bun tests. */
export function bunFile(file: string, heavy: boolean): Suite {
	return { name: file, heavy, run: () => runFile(file, heavy) };
}
