import { expect, test } from "bun:test";
import { parseLabels } from "./labels.ts";

const parse = (text: string) => parseLabels("--labels", text);

test("labels are pairs, and a value may be empty", () => {
	expect(parse("site=north,rack=7,spare=")).toEqual({ site: "north", rack: "7", spare: "" });
});

test("what is no label is refused", () => {
	for (const text of ["", "site", "=north", "site=a,site=b", "site=a,,b=c"]) {
		expect(() => parse(text)).toThrow(/expected k=v/);
	}
});

test("a key or value that cannot be is refused with its flag", () => {
	expect(() => parse("$site=a")).toThrow('--labels: "$site" is not a key: use letters');
	expect(() => parse("__proto__=a")).toThrow(/is not a key/);
	expect(() => parse(`site=${"a".repeat(64)}`)).toThrow(/--labels: site: "a+" is not a value/);
	const many = Array.from({ length: 17 }, (_, k) => `k${k}=v`).join(",");
	expect(() => parse(many)).toThrow("--labels: 17 are too many: at most 16");
});
