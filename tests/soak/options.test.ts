import { expect, test } from "bun:test";
import { BadOption, parseOptions } from "./options.ts";

const seven = () => 7;

test("an hour and any seed, unless told otherwise", () => {
	expect(parseOptions([], seven)).toEqual({ minutes: 60, seed: 7 });
	expect(parseOptions(["--seed", "4294967295", "--minutes=5"], seven)).toEqual({
		minutes: 5,
		seed: 4_294_967_295,
	});
});

test("anything else is refused, with the contract's exit code and a remedy", () => {
	for (const [argv, exitCode, says] of [
		[["--hours", "1"], 2, "unknown option --hours: see ./sluice soak --help"],
		[["now"], 2, "unknown option now: see ./sluice soak --help"],
		[["--seed"], 2, "option --seed needs a number: see ./sluice soak --help"],
		[["--seed", "1", "--seed=2"], 2, "--seed is given twice: give it once"],
		[["--minutes", "0"], 1, "--minutes 0: expected a whole number from 1 to 10080"],
		[["--minutes", "1.5"], 1, "--minutes 1.5: expected a whole number from 1 to 10080"],
		[["--seed", "-1"], 1, "--seed -1: expected a whole number from 0 to 4294967295"],
		[["--seed", "4294967296"], 1, "--seed 4294967296: expected a whole number from 0 to 4294967295"],
	] as const) {
		let refusal: unknown;
		try {
			parseOptions(argv, seven);
		} catch (error) {
			refusal = error;
		}
		expect(refusal).toBeInstanceOf(BadOption);
		expect(refusal).toMatchObject({ message: says, exitCode });
	}
});
