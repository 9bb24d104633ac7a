import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { RuleSchema } from "@sluice/proto/gen/rule";
import { splitRules } from "./upload-rules.ts";

const rules = Array.from({ length: 100 }, (_, index) => create(RuleSchema, { name: `rule-${index}` }));

test("a small file is one part", () => {
	expect(splitRules(rules, 1_000_000)).toEqual([rules]);
});

test("no rules are one empty part, so that apply --prune can remove all", () => {
	expect(splitRules([], 1_000_000)).toEqual([[]]);
});

test("parts keep the order, lose nothing and stay below the limit", () => {
	const parts = splitRules(rules, 50);
	expect(parts.length).toBeGreaterThan(10);
	expect(parts.flat()).toEqual(rules);
	for (const part of parts) expect(part.length).toBeLessThanOrEqual(5);
});

test("a rule above the limit is a part of its own", () => {
	expect(splitRules(rules.slice(0, 3), 1)).toHaveLength(3);
});
