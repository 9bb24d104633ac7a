import { expect, test } from "bun:test";
import { forget, store, takeStored } from "./fd-store.ts";

test("without a keeper nothing is stored, and nobody stored anything", () => {
	delete process.env["NOTIFY_SOCKET"];
	expect(store("counters", [3])).toBeFalse();
	expect(forget("counters")).toBeFalse();
	expect(takeStored()).toEqual([]);
});

test("a name that would not come back as it was is refused", () => {
	for (const name of ["", "a:b", "a b", "a\nFDSTOREREMOVE=1", "\u00e9", "x".repeat(256)]) {
		expect(() => store(name, [3])).toThrow("cannot name a descriptor");
	}
});
