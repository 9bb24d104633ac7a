import { expect, test } from "bun:test";
import { findDuplicateKey } from "./duplicate-key.ts";

test.each([
	['{"a":1,"a":2}', "line 1: a"],
	["{ rules: [1],\n  rules: [] }", "line 2: rules"],
	["{ rules: [ { name: 'x', // twice\n 'name': 'y' } ] }", "line 2: name"],
	['{ a: { b: 1 }, c: [ { b: 1, "\\u0062": 2 } ] }', "line 1: b"],
	["{ a: 'it\\'s', /* : */ a: 1 }", "line 1: a"],
])("%p has a key twice", (text, found) => {
	expect(findDuplicateKey(text, Bun.JSON5.parse(text))).toBe(found);
});

test.each([
	'{"a":{"a":1},"b":[{"a":1},{"a":1}]}',
	"{ a: 'b: 1, a: 2', // a: 3\n b: \"{a:1\", /* a: 4 */ c: -1.5e3 }",
	"[]",
])("%p has none", (text) => {
	expect(findDuplicateKey(text, Bun.JSON5.parse(text))).toBeUndefined();
});

test("as deep as parsers go", () => {
	const text = `${"[".repeat(300_000)}${"]".repeat(300_000)}`;
	expect(findDuplicateKey(text, JSON.parse(text))).toBeUndefined();
});
