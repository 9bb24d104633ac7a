import { expect, test } from "bun:test";
import { allowedCores, coreOf } from "./cores.ts";

test("the affinity list is read in all its forms", () => {
	expect(allowedCores("Name:\tbun\nCpus_allowed_list:\t0-2,5,8-9\n")).toEqual([0, 1, 2, 5, 8, 9]);
	expect(allowedCores("Cpus_allowed_list:\t3\n")).toEqual([3]);
	expect(allowedCores().length).toBeGreaterThan(0);
});

test("more workers than cores share", () => {
	expect([0, 1, 2, 3].map((slot) => coreOf(slot, [4, 6]))).toEqual([4, 6, 4, 6]);
});
