import { expect, test } from "bun:test";
import { errorCode, errorText, httpStatus, SluiceError, toSluiceError } from "./errors.ts";

test("codes and statuses are the same closed set both ways", () => {
	for (const status of [400, 401, 403, 404, 409, 413, 500, 503, 504])
		expect(httpStatus(errorCode(status))).toBe(status);
	expect(errorCode(418)).toBe("internal");
});

test("a message is one line, whatever a value in it held", () => {
	expect(new SluiceError("invalid", 'name: "a\r\nInjected: 1\u0000" is wrong').message).toBe(
		'name: "a Injected: 1 " is wrong',
	);
	expect(errorText("two\nlines")).toBe("two lines");
});

test("foreign errors become internal without their text, ours pass", () => {
	const foreign = new Error("password 1234");
	const converted = toSluiceError(foreign);
	expect([converted.code, converted.cause]).toEqual(["internal", foreign]);
	expect(converted.message).not.toContain("1234");
	const own = new SluiceError("conflict", "x", { revision: 3n });
	expect(toSluiceError(own)).toBe(own);
});
