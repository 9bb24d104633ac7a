import { expect, test } from "bun:test";
import { toJson } from "@bufbuild/protobuf";
import { RuleSchema } from "@sluice/proto/gen/rule";
import { formatRulesFile } from "../format/rules-file.ts";
import { parseRulesFile } from "./rules-file.ts";

const parse = (text: string) => parseRulesFile("rules.json5", text);

const complete = `{ rules: [ // JSON5: comments, bare keys, trailing commas
	{ name: "video",
	  input:   { interface: "r0", group: "239.1.1.1", port: 5001, sources: ["10.0.0.5"], vlan: 9 },
	  outputs: [ { interface: "r1", address: "239.10.1.1", port: 6001, ttl: 16, dscp: 46, sourcePort: 7 },
	             { interface: "r2", address: "10.0.0.1", port: 6001 } ],
	  hosts:   ["relay-a"] },
	{ name: "edge", input: { interface: "r0", group: "239.1.1.3", port: 5001 }, hostLabels: { site: "north", role: "" },
	  outputs: [ { interface: "r1", address: "239.10.1.3", port: 6001 } ] },
	{ name: "audio",
	  input:   { interface: "r0", group: "239.1.1.2", port: 0 },
	  outputs: [ { interface: "r1", address: "239.10.1.2", port: 6001, ttl: 0 } ] },
] }`;

test("the contract's file is read with all its fields", () => {
	const [video, edge, audio] = parse(complete);
	expect(video?.outputs[0]).toMatchObject({ ttl: 16, dscp: 46, sourcePort: 7 });
	expect(edge?.hostLabels).toEqual({ site: "north", role: "" });
	expect(audio?.outputs[0]?.ttl).toBe(0);
	expect(audio?.outputs[0]?.dscp).toBeUndefined();
});

test("what export writes reads back as the same rules", () => {
	const rules = parse(complete);
	const written = formatRulesFile(rules);
	const json = (all: typeof rules) => all.map((rule) => toJson(RuleSchema, rule));
	expect(json(parse(written))).toEqual(json(rules));
	expect(formatRulesFile(parse(written))).toBe(written);
	expect(JSON.parse(written)).toEqual({ rules: json(rules) });
});

test("no rules are a file too", () => {
	expect(parse(formatRulesFile([]))).toEqual([]);
});

for (const [text, complaint] of [
	["", "rules.json5: the file is empty: expected { rules: [ … ] }"],
	[" \n", "rules.json5: the file is empty"],
	["{ rules: [", "rules.json5: line 1:11: invalid end of input: close what is still open"],
	["{ rules: [ { input: { group: ff3e::1 } } ] }", "line 1:31: invalid character 'f': see whether"],
	["{ rules: [\n  { name: 'a',, } ] }", "rules.json5: line 2:15: invalid character ','"],
	["{ rules: [ 1 ], rules: [] }", "rules.json5: line 1: rules stands twice in one object: remove one"],
	["{ rules: [ { name: 'a',\n name: 'b' } ] }", "rules.json5: line 2: name stands twice"],
	["[]", "rules.json5: expected { rules: [ … ] }"],
	["{}", "rules.json5: expected { rules: [ … ] }"],
	["{ rules: [], extra: 1 }", "rules.json5: extra is unknown"],
	["{ rules: [ 5 ] }", "rules.json5: rules[0]: expected { … }"],
	[
		"{ rules: [ { name: 'a', inputs: {} } ] }",
		"rules[0].inputs is unknown: known are name, input, outputs, hosts, hostLabels (rule a)",
	],
	["{ rules: [ { outputs: [ {}, { tll: 4 } ] } ] }", "rules[0].outputs[1].tll is unknown"],
	["{ rules: [ { outputs: {} } ] }", "rules[0].outputs: expected [ … ]"],
	["{ rules: [ { outputs: [ { ttl: '4' } ] } ] }", "rules[0].outputs[0].ttl: expected a whole number"],
	[
		"{ rules: [ { outputs: [ { dscp: 'EF' } ] } ] }",
		"rules[0].outputs[0].dscp: expected a whole number: EF is 46",
	],
	["{ rules: [ { outputs: [ { port: 1.5 } ] } ] }", "rules[0].outputs[0].port: expected a whole number"],
	["{ rules: [ { outputs: [ { port: -1 } ] } ] }", "rules[0].outputs[0].port: expected a whole number"],
	["{ rules: [ { hostLabels: ['site=a'] } ] }", 'rules[0].hostLabels: expected { key: "value", … }'],
	["{ rules: [ { hostLabels: { rack: 7 } } ] }", "rules[0].hostLabels.rack: expected a text in quotes"],
	["{ rules: [ { name: null } ] }", "rules[0].name: expected a text in quotes"],
	["{ rules: [ { input: { sources: [7] } } ] }", "rules[0].input.sources[0]: expected a text in quotes"],
] as const) {
	test(`refuses ${JSON.stringify(text)} with its place`, () => {
		expect(() => parse(text)).toThrow(complaint);
	});
}
