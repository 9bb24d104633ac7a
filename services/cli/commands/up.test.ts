import { expect, test } from "bun:test";
import { parseRingMemory, parseWorkers } from "./up.ts";

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
