import { expect, test } from "bun:test";
import { carries, excludeEachOther, formatLabels, inOrder, labelComplaint } from "./labels.ts";

test("a host carries labels when it has each of them with that value", () => {
	const host = { site: "north", role: "edge", spare: "" };
	expect(carries(host, { site: "north", role: "edge" })).toBe(true);
	expect(carries(host, { spare: "" })).toBe(true);
	expect(carries(host, { site: "south" })).toBe(false);
	expect(carries(host, { site: "north", rack: "7" })).toBe(false);
	expect(carries(host, { constructor: "x" })).toBe(false);
});

test("labels exclude each other by one key with two values", () => {
	expect(excludeEachOther({ site: "a", role: "x" }, { site: "b", role: "x" })).toBe(true);
	expect(excludeEachOther({ site: "a" }, { role: "x" })).toBe(false);
	expect(excludeEachOther({ site: "a" }, {})).toBe(false);
});

test("labels are written in the order of their keys", () => {
	expect(formatLabels({ site: "north", role: "edge" })).toBe("role=edge,site=north");
	expect(Object.keys(inOrder({ b: "1", a: "2" }))).toEqual(["a", "b"]);
});

test("what separates labels, and what a terminal would act on, stands in none", () => {
	for (const value of ["a b", "a,b", "a=b", "\u001b[31m", "ä"]) {
		expect(labelComplaint({ site: value })).toContain("is not a value");
	}
	for (const key of ["", "-a", "a b", "a=b"])
		expect(labelComplaint({ [key]: "v" })).toContain("is not a key");
	expect(labelComplaint({ "topology.example.org/zone": "north_1/a:b" })).toBeUndefined();
});
