import { join } from "node:path";
import { checkout } from "../../scripts/owner.ts";
import { describeEnd, runJob } from "./job.ts";
import { failed, passed, type Suite, skipped } from "./suite.ts";

/** What a C test program exits with to say "not on this machine"; its last line says why. */
const EXIT_SKIPPED = 77;

function lastLine(output: string): string {
	return output.trim().split("\n").at(-1) ?? "";
}

/** The suite of one C test program, built beforehand: `folder` is build/test or the sanitizers' own. */
export function cProgram(program: string, folder: string, variant: string): Suite {
	const name = `dataplane-c/test/${program}${variant}`;
	return {
		name,
		heavy: false,
		run: async () => {
			const result = await runJob([join(checkout, folder, program)], checkout);
			if (result.exitCode === 0) return passed(result.output);
			if (result.exitCode === EXIT_SKIPPED)
				return skipped(name, lastLine(result.output).replace(/^skipped: /, "") || "the test gives no reason");
			return failed(name, `${result.output}\n${name}: ${describeEnd(result)}\n`);
		},
	};
}
