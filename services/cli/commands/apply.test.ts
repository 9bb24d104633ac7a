import { expect, test } from "bun:test";
import { readText } from "./apply.ts";

test("a file without an end is refused", async () => {
	await expect(readText("/dev/zero")).rejects.toThrow("/dev/zero has over 67108864 bytes");
	await expect(readText("/nowhere")).rejects.toThrow("/nowhere does not exist: name a file");
	await expect(readText("/tmp")).rejects.toThrow("/tmp is a folder: name a file");
});
