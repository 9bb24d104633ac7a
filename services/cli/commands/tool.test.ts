import { expect, test } from "bun:test";
import { findTool } from "./tool.ts";

test("gen and recv are tools, their flags are their own", () => {
	expect(findTool(["gen", "--to", "r0:239.1.1.1:1", "--help"])).toEqual({
		tool: "gen",
		args: ["--to", "r0:239.1.1.1:1", "--help"],
	});
	expect(findTool(["recv"])).toEqual({ tool: "recv", args: [] });
});

test("global flags before a tool are skipped with their values, --json is passed on", () => {
	expect(findTool(["--data-dir", "gen", "--json", "--debug", "recv", "--in", "x"])).toEqual({
		tool: "recv",
		args: ["--json", "--in", "x"],
	});
});

test("global flags after a tool are skipped as well", () => {
	const global = ["--debug", "--nats", "x", "--data-dir=/d", "--credentials", "c", "--timeout=1"];
	expect(findTool(["gen", ...global, "--rate", "5", "--json"])?.args).toEqual(["--rate", "5", "--json"]);
	expect(findTool(["gen", "--nats"])?.args).toEqual(["--nats"]);
});

test("other commands are none, whatever their arguments are called", () => {
	for (const argv of [[], ["rule", "show", "gen"], ["--json", "stats", "recv"], ["--nats", "recv"]]) {
		expect(findTool(argv)).toBeUndefined();
	}
});
