import { expect, test } from "bun:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { until } from "@sluice/lib/testing/until";
import { type ApplyRequest, ApplyRequestSchema } from "@sluice/proto/gen/rule";
import { manyRules } from "../testing/cluster.ts";
import { Uploads, uploadLimits } from "./uploads.ts";

const part = (part: number, more: MessageInitShape<typeof ApplyRequestSchema> = {}) =>
	create(ApplyRequestSchema, { uploadId: "u", parts: 3, part, rules: manyRules(2, `p${part}`), ...more });

const take = (uploads: Uploads, request: ApplyRequest) =>
	uploads.take(request, toBinary(ApplyRequestSchema, request).length);

test("the last part gives the whole in order, with what the first asked for", () => {
	const uploads = new Uploads();
	expect(take(uploads, part(0, { prune: true }))).toBeUndefined();
	expect(take(uploads, part(1, { prune: true }))).toBeUndefined();
	const whole = take(uploads, part(2, { prune: true }));
	expect(whole?.prune).toBe(true);
	expect(whole?.rules.map((rule) => rule.name.slice(0, 2))).toEqual(["p0", "p0", "p1", "p1", "p2", "p2"]);
});

test("a part out of order, one that differs and one nobody began are refused", () => {
	const uploads = new Uploads();
	expect(() => take(uploads, part(1))).toThrow("uploadId: u is not under way");
	take(uploads, part(0));
	expect(() => take(uploads, part(0))).toThrow("is being uploaded: choose another");
	expect(() => take(uploads, part(2))).toThrow("part: 2 came where 1 was due");
	take(uploads, part(0));
	expect(() => take(uploads, part(1, { dryRun: true }))).toThrow("differ from the first part");
	expect(() => take(uploads, part(0, { uploadId: "" }))).toThrow("uploadId: give 1 to 64 characters");
	expect(() => take(uploads, part(0, { parts: 65 }))).toThrow("parts: 65 are too many");
	expect(() => take(uploads, part(7, { parts: 1 }))).toThrow("part: 7 of 1: number parts from 0");
});

test("only so many are open, and silence ends one", async () => {
	const uploads = new Uploads({ ...uploadLimits, open: 2, idleMs: 50 });
	take(uploads, part(0, { uploadId: "a" }));
	take(uploads, part(0, { uploadId: "b" }));
	expect(() => take(uploads, part(0, { uploadId: "c" }))).toThrow("2 uploads are under way: try again");
	await until(() => {
		try {
			take(uploads, part(0, { uploadId: "c" }));
			return true;
		} catch {
			return false;
		}
	});
	expect(() => take(uploads, part(1, { uploadId: "a" }))).toThrow("is not under way");
	uploads.close();
});

test("more rules than a cluster has are refused at the part that brings them", () => {
	const uploads = new Uploads();
	take(uploads, part(0, { rules: manyRules(20_000) }));
	expect(() => take(uploads, part(1))).toThrow("rules: more than 20000");
});

test("all uploads share one budget of bytes, which an ended one gives back", () => {
	const uploads = new Uploads({ ...uploadLimits, bytes: 800 });
	expect(() => take(uploads, part(0, { rules: manyRules(30) }))).toThrow("rules: over 800 bytes together");
	take(uploads, part(0, { uploadId: "a", rules: manyRules(9) }));
	const second = part(0, { uploadId: "b", rules: manyRules(9) });
	expect(() => take(uploads, second)).toThrow("uploads under way fill 800 bytes: try again");
	// Out of order: ends it.
	expect(() => take(uploads, part(2, { uploadId: "a" }))).toThrow("where 1 was due");
	expect(take(uploads, second)).toBeUndefined();
	uploads.close();
});

test("a wrong rule is refused with the part that brings it, with its place in the whole", () => {
	const uploads = new Uploads();
	take(uploads, part(0));
	const wrong = [{ name: "x".repeat(1_000) }];
	expect(() => take(uploads, part(1, { rules: wrong }))).toThrow(/^rules\[2\]: name: /);
	expect(() => take(uploads, part(2))).toThrow("is not under way");
});

test("an upload that is fed for ever ends at its age", async () => {
	const uploads = new Uploads({ ...uploadLimits, parts: 10_000, ageMs: 100 });
	let k = 0;
	take(uploads, part(k, { parts: 10_000, rules: [] }));
	await until(() => {
		try {
			k += 1;
			take(uploads, part(k, { parts: 10_000, rules: [] }));
			return false;
		} catch (refused) {
			expect(String(refused)).toContain("is not under way");
			return true;
		}
	});
});
