import { describe, expect, test } from "bun:test";
import { fromBinary, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { RuleSchema } from "@sluice/proto/gen/rule";
import { canonicalRule } from "./validate.ts";

const right = {
	name: "video",
	input: { interface: "r0", group: "239.1.1.1", port: 5001 },
	outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
} satisfies JsonObject;

const input = (more: JsonObject): JsonObject => ({ ...right, input: { ...right.input, ...more } });
const output = (more: JsonObject): JsonObject => ({ ...right, outputs: [{ ...right.outputs[0], ...more }] });
const without = (from: JsonObject, field: string): JsonObject =>
	Object.fromEntries(Object.entries(from).filter(([name]) => name !== field));
const outputs = (count: number) =>
	Array.from({ length: count }, (_, k) => ({ interface: "r1", address: "239.10.1.1", port: k + 1 }));
const sources = (count: number) => Array.from({ length: count }, (_, k) => `10.0.${k >> 8}.${k & 255}`);

function check(rule: JsonObject) {
	return canonicalRule(fromJson(RuleSchema, rule));
}

describe("refused, with the path and the way out", () => {
	const cases: [string, JsonObject, string][] = [
		["no name", without(right, "name"), "name: missing: give a name"],
		[
			"upper case",
			{ ...right, name: "Video" },
			'name: "Video" is not a name: use a-z, 0-9 and -, with a letter or digit first, at most 63 characters',
		],
		[
			"leading dash",
			{ ...right, name: "-a" },
			'name: "-a" is not a name: use a-z, 0-9 and -, with a letter or digit first, at most 63 characters',
		],
		["long name", { ...right, name: "a".repeat(64) }, "is not a name"],
		["subject token", { ...right, name: "a.b" }, "is not a name"],
		["no input", without(right, "input"), "input: missing: give interface, group and port"],
		[
			"no input interface",
			input({ interface: "" }),
			"input.interface: missing: give the name of an interface",
		],
		["long interface", input({ interface: "abcdefghijklmnop" }), "at most 15 characters"],
		["space in interface", input({ interface: "r 0" }), "no spaces, / or :"],
		["slash in interface", input({ interface: "r/0" }), "no spaces, / or :"],
		["dots as interface", input({ interface: ".." }), "no spaces, / or :"],
		["no group", input({ group: "" }), "input.group: missing: give a multicast group"],
		["no address", input({ group: "239.1.1" }), 'input.group: "239.1.1" is not an IPv4 address'],
		["leading zero", input({ group: "239.01.1.1" }), "is not an IPv4 address"],
		["IPv6 group", input({ group: "ff3e::4321" }), 'input.group: "ff3e::4321": IPv6 is not supported yet'],
		[
			"port absent",
			{ ...right, input: without(right.input, "port") },
			"input.port: missing: give 1 to 65535",
		],
		["port 0", input({ port: 0 }), "input.port: 0 is not 1 to 65535"],
		["port 65536", input({ port: 65_536 }), "input.port: 65536 is not 1 to 65535"],
		["vlan 0", input({ vlan: 0 }), "input.vlan: 0 is not 1 to 4094"],
		["vlan 4095", input({ vlan: 4_095 }), "input.vlan: 4095 is not 1 to 4094"],
		[
			"bad source",
			input({ sources: ["10.0.0.0/33"] }),
			'input.sources[0]: "10.0.0.0/33" is not an IPv4 address or prefix',
		],
		[
			"IPv6 source",
			input({ sources: ["10.0.0.1", "::1"] }),
			'input.sources[1]: "::1": IPv6 is not supported yet',
		],
		["zero source", input({ sources: ["0.0.0.0"] }), "input.sources[0]: 0.0.0.0 is no source"],
		["group as source", input({ sources: ["239.1.1.1"] }), "which never is a source"],
		["many sources", input({ sources: sources(65) }), "input.sources: 65 are too many: at most 64"],
		["no outputs", { ...right, outputs: [] }, "outputs: missing: give at least one output"],
		[
			"many outputs",
			{ ...right, outputs: outputs(257) },
			"outputs: 257 are too many: at most 256 in one rule",
		],
		["output port", output({ port: 0 }), "outputs[0].port: 0 is not 1 to 65535"],
		[
			"output port absent",
			{ ...right, outputs: [{ interface: "r1", address: "239.1.1.1" }] },
			"outputs[0].port: missing",
		],
		["ttl 0", output({ ttl: 0 }), "outputs[0].ttl: 0 is not 1 to 255"],
		["ttl 256", output({ ttl: 256 }), "outputs[0].ttl: 256 is not 1 to 255"],
		["dscp 64", output({ dscp: 64 }), "outputs[0].dscp: 64 is not 0 to 63"],
		["source port 0", output({ sourcePort: 0 }), "outputs[0].sourcePort: 0 is not 1 to 65535"],
		["address 0.0.0.0", output({ address: "0.0.0.0" }), "outputs[0].address: 0.0.0.0 addresses no host"],
		["loopback", output({ address: "127.0.0.1" }), "outputs[0].address: 127.0.0.1 never leaves its host"],
		["far loopback", output({ address: "127.255.255.254" }), "never leaves its host"],
		[
			"broadcast",
			output({ address: "255.255.255.255" }),
			"outputs[0].address: 255.255.255.255 is the broadcast address",
		],
		["class E", output({ address: "240.0.0.1" }), "outputs[0].address: 240.0.0.1 is reserved"],
		["IPv6 output", output({ address: "ff3e::1" }), "IPv6 is not supported yet"],
		[
			"the same output twice",
			{ ...right, outputs: [...right.outputs, { ...right.outputs[0], ttl: 3 }] },
			"outputs[1]: r1:239.10.1.1:6001 is the same as outputs[0]: remove one",
		],
		[
			"self-loop",
			output({ interface: "r0", address: "239.1.1.1", port: 5001 }),
			"outputs[0]: r0:239.1.1.1:5001 is the rule's own input, it would feed itself: give another address or port",
		],
		["bad host", { ...right, hosts: ["Relay"] }, 'hosts[0]: "Relay" is not a name'],
		["all with others", { ...right, hosts: ["a", "all"] }, 'hosts[1]: "all" stands alone'],
		["host twice", { ...right, hosts: ["a", "a"] }, 'hosts[1]: "a" is named twice'],
		[
			"many hosts",
			{ ...right, hosts: sources(65).map((_, k) => `h${k}`) },
			"hosts: 65 are too many: at most 64",
		],
		[
			"labels and hosts",
			{ ...right, hosts: ["a"], hostLabels: { site: "a" } },
			"hostLabels: hosts are named too: give one or the other",
		],
		["bad label", { ...right, hostLabels: { "a b": "c" } }, 'hostLabels: "a b" is not a key'],
		["bad label value", { ...right, hostLabels: { site: "a,b" } }, 'hostLabels: site: "a,b" is not a value'],
		[
			"many labels",
			{ ...right, hostLabels: Object.fromEntries(sources(17).map((_, k) => [`k${k}`, "v"])) },
			"hostLabels: 17 are too many: at most 16",
		],
	];
	test.each(cases)("%s", (_, rule, reason) => {
		expect(() => check(rule)).toThrow(reason);
	});
});

describe("accepted", () => {
	const cases: [string, JsonObject][] = [
		["the least", right],
		["a unicast input", input({ group: "10.0.0.1" })],
		["limits of numbers", output({ port: 65_535, ttl: 255, dscp: 63, sourcePort: 65_535 })],
		["least numbers", output({ port: 1, ttl: 1, dscp: 0, sourcePort: 1 })],
		["256 outputs", { ...right, outputs: outputs(256) }],
		["64 sources", input({ sources: sources(64) })],
		["all hosts", { ...right, hosts: ["all"] }],
		["labels", { ...right, hostLabels: { site: "north", role: "" } }],
		["an interface of 15 characters", input({ interface: "enp0s31f6.12345" })],
		["its own group on another port", output({ interface: "r0", address: "239.1.1.1", port: 5002 })],
		[
			"untagged output where a VLAN is the input",
			{ ...input({ vlan: 5 }), outputs: [{ interface: "r0", address: "239.1.1.1", port: 5001 }] },
		],
		["0.0.0.0/0", input({ sources: ["0.0.0.0/0"] })],
	];
	test.each(cases)("%s", (_, rule) => {
		expect(() => check(rule)).not.toThrow();
	});
});

test("sources become canonical: host bits cleared, /32 plain, repeated ones once", () => {
	const rule = check(input({ sources: ["10.0.0.77/24", "10.0.0.0/24", "10.0.0.5/32", "10.0.0.5"] }));
	expect(rule.input?.sources).toEqual(["10.0.0.0/24", "10.0.0.5"]);
});

test("labels stand in one order, so that the same ones are the same rule", () => {
	const labels = (hostLabels: JsonObject) => toBinary(RuleSchema, check({ ...right, hostLabels }));
	expect(labels({ site: "a", role: "b" })).toEqual(labels({ role: "b", site: "a" }));
});

test("a field of a later version is refused instead of lost", () => {
	const payload = new Uint8Array([...toBinary(RuleSchema, fromJson(RuleSchema, right)), 0xa0, 0x06, 0x01]);
	expect(() => canonicalRule(fromBinary(RuleSchema, payload))).toThrow(
		"rule: field 100 is not known to this version",
	);
});
