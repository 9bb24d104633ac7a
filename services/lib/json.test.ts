import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { RuleSchema, RuleStatusSchema } from "@sluice/proto/gen/rule";
import type { SluiceError } from "./errors.ts";
import { fromJsonText, toJsonText } from "./json.ts";

test("zero values are written out, enums by bare name, 64-bit numbers as strings, absent optionals left out", () => {
	const status = create(RuleStatusSchema, { name: "video", revision: 7n, hosts: [{ host: "a" }] });
	expect(JSON.parse(toJsonText(RuleStatusSchema, status))).toEqual({
		name: "video",
		uid: "",
		revision: "7",
		hosts: [{ host: "a", state: "PENDING", reason: "" }],
	});
});

test("unknown fields, duplicate keys and wrong types are refused in one line", () => {
	const reason = (text: string) => {
		try {
			fromJsonText(RuleSchema, text);
			return "accepted";
		} catch (thrown) {
			const { code, message } = thrown as SluiceError;
			expect(message).not.toContain("\n");
			expect(message).not.toContain("sluice.v1");
			return `${code}: ${message}`;
		}
	};
	expect(reason('{"name":"a","colour":"red"}')).toBe(
		'invalid: Rule: key "colour" is unknown: known are name, input, outputs, hosts, hostLabels',
	);
	expect(reason('{"outputs":[{"prot":1}]}')).toMatch(
		/^invalid: Output: key "prot" is unknown: known are interface, address, port, /,
	);
	expect(reason(`{"${"x".repeat(1_000)}":1}`)).toMatch(/^invalid: .{1,310}…: known are name, /);
	expect(reason('{"name":"a","name":"b"}')).toMatch(/^invalid: /);
	expect(reason('{"input":{"port":"x"}}')).toMatch(/^invalid: .*port/);
	expect(reason('{"input":{"port":-1}}')).toMatch(/^invalid: .*port/);
	expect(reason("{")).toMatch(/^invalid: /);
});
