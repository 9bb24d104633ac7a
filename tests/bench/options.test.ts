import { expect, test } from "bun:test";
import { BadOption, parseOptions } from "./options.ts";

const KNOWN = { cases: ["cpu", "latency"], peers: ["sluice", "socat"] };
const TEMPLATE = "relay {group} {port} {to} {to-port}";

test("everything and everybody, unless told otherwise", () => {
	expect(parseOptions([], KNOWN)).toEqual({
		...{ quick: false, cases: [], peers: [], peerCommand: undefined },
		...{ runs: undefined, seconds: undefined, results: undefined, json: undefined },
	});
	expect(
		parseOptions(
			["--quick", "--case", "cpu", "--case=latency", "--peer=command", "--results", "/tmp/r"].concat(
				...["--json", "r.json", "--peer-command", TEMPLATE, "--runs=3", "--seconds", "0.5"],
			),
			KNOWN,
		),
	).toEqual({
		...{ quick: true, cases: ["cpu", "latency"], peers: ["command"], peerCommand: TEMPLATE },
		...{ runs: 3, seconds: 0.5, results: "/tmp/r", json: "r.json" },
	});
});

test("anything else is refused, with the contract's exit code and a remedy", () => {
	for (const [argv, exitCode, says] of [
		[["--fast"], 2, "unknown option --fast: see ./sluice bench --help"],
		[["now"], 2, "unknown option now: see ./sluice bench --help"],
		[["--quick=yes"], 2, "unknown option --quick=yes: see ./sluice bench --help"],
		[["--case"], 2, "option --case needs a value: see ./sluice bench --help"],
		[["--results=a", "--results", "b"], 2, "--results is given twice: give it once"],
		[["--case", "speed"], 1, "--case speed: choose of cpu, latency"],
		[["--runs", "0"], 1, "--runs 0: give a number from 1 to 100"],
		[["--runs", "1.5"], 1, "--runs 1.5: give a number from 1 to 100"],
		[["--seconds", "long"], 1, "--seconds long: give seconds from 0.1 to 60"],
		[["--seconds=2", "--seconds=3"], 2, "--seconds is given twice: give it once"],
		[["--peer", "command"], 1, "--peer command: choose of sluice, socat"],
		[["--peer-command", "relay {group}"], 1, "--peer-command: {port} is missing"],
	] as const) {
		let refusal: unknown;
		try {
			parseOptions(argv, KNOWN);
		} catch (error) {
			refusal = error;
		}
		expect(refusal).toBeInstanceOf(BadOption);
		expect(refusal).toMatchObject({ message: expect.stringContaining(says), exitCode });
	}
});
