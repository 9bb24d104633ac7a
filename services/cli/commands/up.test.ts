import { expect, test } from "bun:test";
import { parseLabels, parseRingMemory, parseWorkers } from "./up.ts";

test("labels are pairs, and a value may be empty", () => {
	expect(parseLabels("site=north,rack=7,spare=")).toEqual({ site: "north", rack: "7", spare: "" });
});

test("what is no label is refused", () => {
	for (const text of ["", "site", "=north", "site=a,site=b", "site=a,,b=c"]) {
		expect(() => parseLabels(text)).toThrow(/expected k=v/);
	}
});

test("workers are a number or auto", () => {
	expect(parseWorkers("auto")).toBe("auto");
	expect(parseWorkers("2")).toBe(2);
	expect(() => parseWorkers("many")).toThrow(/expected a number, or auto/);
	expect(() => parseWorkers("-1")).toThrow(/expected a number, or auto/);
});

test("ring memory is a number", () => {
	expect(parseRingMemory("64")).toBe(64);
	expect(() => parseRingMemory("64M")).toThrow(/expected a number of MiB/);
});
