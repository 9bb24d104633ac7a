import { expect, test } from "bun:test";
import { toJson } from "@bufbuild/protobuf";
import { RuleSchema } from "@sluice/proto/gen/rule";
import { formatInput, formatOutput, parseInput, parseOutput, parseRule } from "./rule.ts";

test("a rule has what was typed and nothing else", () => {
	const rule = parseRule("video", { in: "r0:239.1.1.1:5001", out: ["r1:239.10.1.1:6001"] });
	expect(toJson(RuleSchema, rule)).toEqual({
		name: "video",
		input: { interface: "r0", group: "239.1.1.1", port: 5001 },
		outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
	});
});

test("a rule has every option that was typed", () => {
	const rule = parseRule("video", {
		in: "r0:239.1.1.1:5001,vlan=7",
		out: ["r1:239.10.1.1:6001,ttl=4,dscp=46,source-port=9", "r2:10.0.0.1:6002,ttl=0"],
		source: ["10.0.0.5", "10.1.0.0/16"],
		host: ["relay-a", "relay-b"],
	});
	expect(toJson(RuleSchema, rule)).toEqual({
		name: "video",
		input: { interface: "r0", group: "239.1.1.1", port: 5001, sources: ["10.0.0.5", "10.1.0.0/16"], vlan: 7 },
		outputs: [
			{ interface: "r1", address: "239.10.1.1", port: 6001, ttl: 4, dscp: 46, sourcePort: 9 },
			{ interface: "r2", address: "10.0.0.1", port: 6002, ttl: 0 },
		],
		hosts: ["relay-a", "relay-b"],
	});
});

test("a code point may be typed by its name, and is its number from then on", () => {
	const output = parseOutput("r1:239.10.1.1:6001,dscp=AF41,ttl=4");
	expect(output).toMatchObject({ dscp: 34, ttl: 4 });
	expect(formatOutput(output)).toBe("r1:239.10.1.1:6001,ttl=4,dscp=34");
	expect(() => parseOutput("r1:239.10.1.1:6001,dscp=AF44")).toThrow(
		"--out r1:239.10.1.1:6001,dscp=AF44: dscp AF44: expected 0 to 63, or a name: EF, AF11 to AF43, CS0 to CS7",
	);
	expect(() => parseOutput("r1:239.10.1.1:6001,ttl=EF")).toThrow(/ttl EF: expected a whole number/);
});

test("labels stand in for names of hosts", () => {
	const typed = { in: "r0:239.1.1.1:5001", out: ["r1:239.10.1.1:6001"] };
	expect(parseRule("video", { ...typed, hostLabels: "site=north,role=" }).hostLabels).toEqual({
		site: "north",
		role: "",
	});
	expect(() => parseRule("video", { ...typed, hostLabels: "site" })).toThrow(
		/--host-labels site: expected k=v/,
	);
});

test("unknown options are refused by name", () => {
	expect(() => parseInput("r0:239.1.1.1:1,ttl=3", [])).toThrow(/ttl is unknown: expected/);
	expect(() => parseOutput("r0:239.1.1.1:1,vlan=3")).toThrow(/vlan is unknown: expected/);
	expect(() => parseOutput("r0:239.1.1.1:1,ttl=many")).toThrow(/ttl many: expected a whole number/);
});

test("inputs and outputs are written as they are read", () => {
	const output = "r1:239.10.1.1:6001,ttl=4,dscp=46,source-port=9";
	expect(formatOutput(parseOutput(output))).toBe(output);
	expect(formatInput(parseInput("r0:239.1.1.1:5001,vlan=7", []))).toBe("r0:239.1.1.1:5001,vlan=7");
});
