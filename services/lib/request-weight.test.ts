import { expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ApplyRequestSchema } from "@sluice/proto/gen/rule";
import { toJsonText } from "./json.ts";
import { checkBinaryWeight, checkJsonWeight, WEIGHT_LIMIT } from "./request-weight.ts";

const rules = Array.from({ length: 20_000 }, (_, k) => ({
	name: `rule-${k}`,
	input: { interface: "r0", group: `239.1.${k >> 8}.${k & 255}`, port: 5001, sources: ["10.0.0.5"] },
	outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001, ttl: 16, dscp: 46 }],
	hosts: ["relay-a"],
}));
const encode = (text: string) => new TextEncoder().encode(text);

test("as many rules as a cluster can have are not too heavy", () => {
	const request = create(ApplyRequestSchema, { rules });
	checkBinaryWeight(ApplyRequestSchema, toBinary(ApplyRequestSchema, request));
	checkJsonWeight(encode(toJsonText(ApplyRequestSchema, request)));
});

test("empty messages in their hundreds of thousands are, at whatever depth", () => {
	const heavy = { code: "too_large", message: expect.stringMatching(/: send less at once$/) };
	const refusal = (work: () => void) => {
		try {
			work();
		} catch (thrown) {
			return thrown;
		}
		return "accepted";
	};
	// Field 1 (rules), or 15 (unknown), of length 0.
	const flat = (tag: number) =>
		Uint8Array.from({ length: 2 * WEIGHT_LIMIT + 2 }, (_, k) => (k % 2 === 0 ? tag : 0));
	for (const tag of [0x0a, 0x7a]) {
		expect(refusal(() => checkBinaryWeight(ApplyRequestSchema, flat(tag)))).toMatchObject(heavy);
	}
	const outputs = create(ApplyRequestSchema, {
		rules: [{ outputs: Array.from({ length: 50 }, () => ({})) }],
	});
	const bytes = toBinary(ApplyRequestSchema, outputs);
	checkBinaryWeight(ApplyRequestSchema, bytes, 51);
	expect(refusal(() => checkBinaryWeight(ApplyRequestSchema, bytes, 50))).toMatchObject(heavy);
	for (const text of ["[".repeat(WEIGHT_LIMIT + 1), `{"rules":[${"{},".repeat(WEIGHT_LIMIT / 2)}]}`]) {
		expect(refusal(() => checkJsonWeight(encode(text)))).toMatchObject(heavy);
	}
});

test("what is malformed is left to whoever decodes it", () => {
	checkBinaryWeight(ApplyRequestSchema, new Uint8Array(100_000).fill(0x0b));
	checkBinaryWeight(ApplyRequestSchema, Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0x7f));
});
