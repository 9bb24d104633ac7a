import { expect, test } from "bun:test";
import { DataplaneError, errnoCode } from "./errors.ts";

test("an error has the operation, the code and a text", () => {
	const error = new DataplaneError("open capture sockets", 19, "No such device");
	expect(error.message).toBe("open capture sockets: No such device (ENODEV)");
	expect(error.code).toBe("ENODEV");
	expect(error).toBeInstanceOf(Error);
});

test("numbers with two names have the one that people look up", () => {
	expect(errnoCode(11)).toBe("EAGAIN");
	expect(errnoCode(95)).toBe("EOPNOTSUPP");
	expect(errnoCode(105)).toBe("ENOBUFS");
	expect(errnoCode(4711)).toBe("errno 4711");
});
