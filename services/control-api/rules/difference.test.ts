import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { RuleSchema } from "@sluice/proto/gen/rule";
import { exampleRule, type RuleInit } from "../testing/cluster.ts";
import { differenceLines, sameRule } from "./difference.ts";

const rule = (init: RuleInit) => create(RuleSchema, init);
const to = (address: string, more: object = {}) => ({ interface: "r1", address, port: 6001, ...more });

test("one line per field, with what was and what will be", () => {
	const before = rule(
		exampleRule("v", "239.1.1.1", { outputs: [to("239.10.1.1", { ttl: 16 })], hosts: ["a"] }),
	);
	const after = rule({
		name: "v",
		input: { interface: "r9", group: "239.1.1.2", port: 5002, vlan: 7, sources: ["10.0.0.1"] },
		outputs: [to("239.10.1.1", { ttl: 32, dscp: 46, sourcePort: 9 })],
		hosts: ["b"],
	});
	expect(differenceLines(before, after)).toEqual([
		"input.interface: r0 -> r9",
		"input.group: 239.1.1.1 -> 239.1.1.2",
		"input.port: 5001 -> 5002",
		"input.vlan: untagged -> 7",
		"input.sources: + 10.0.0.1",
		"outputs[0].ttl: 16 -> 32",
		"outputs[0].dscp: default -> 46",
		"outputs[0].sourcePort: default -> 9",
		"hosts: - a",
		"hosts: + b",
	]);
});

test("labels are told one by one", () => {
	const at = (hostLabels: Record<string, string>) => rule(exampleRule("v", "239.1.1.1", { hostLabels }));
	expect(differenceLines(at({ role: "edge", site: "a" }), at({ role: "edge", site: "b" }))).toEqual([
		"hostLabels: - site=a",
		"hostLabels: + site=b",
	]);
});

test("an output put in front changes no other output", () => {
	const before = rule(exampleRule("v", "239.1.1.1", { outputs: [to("239.10.1.1"), to("239.10.1.2")] }));
	const after = rule(
		exampleRule("v", "239.1.1.1", {
			outputs: [to("239.10.1.9", { ttl: 3, sourcePort: 7 }), to("239.10.1.2")],
		}),
	);
	expect(differenceLines(before, after)).toEqual([
		"outputs: - r1:239.10.1.1:6001",
		"outputs: + r1:239.10.1.9:6001,ttl=3,source-port=7",
	]);
});

test("another order alone is told, and many lines are cut", () => {
	const two = rule(exampleRule("v", "239.1.1.1", { outputs: [to("239.10.1.1"), to("239.10.1.2")] }));
	const swapped = rule(exampleRule("v", "239.1.1.1", { outputs: [to("239.10.1.2"), to("239.10.1.1")] }));
	expect(sameRule(two, swapped)).toBe(false);
	expect(differenceLines(two, swapped)).toEqual(["order changed"]);
	const many = Array.from({ length: 200 }, (_, k) => to(`239.20.0.${k}`));
	const lines = differenceLines(two, rule(exampleRule("v", "239.1.1.1", { outputs: many })));
	expect(lines).toHaveLength(32);
	expect(lines.at(-1)).toBe("… and 171 more");
});
