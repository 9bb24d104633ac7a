import { expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { until } from "@sluice/lib/testing/until";
import { ApplyRequestSchema } from "@sluice/proto/gen/rule";
import { manyRules } from "../testing/cluster.ts";
import { Uploads } from "./uploads.ts";

const part = (part: number, more: MessageInitShape<typeof ApplyRequestSchema> = {}) =>
	create(ApplyRequestSchema, { uploadId: "u", parts: 3, part, rules: manyRules(2, `p${part}`), ...more });

test("the last part gives the whole in order, with what the first asked for", () => {
	const uploads = new Uploads();
	expect(uploads.take(part(0, { prune: true }))).toBeUndefined();
	expect(uploads.take(part(1, { prune: true }))).toBeUndefined();
	const whole = uploads.take(part(2, { prune: true }));
	expect(whole?.prune).toBe(true);
	expect(whole?.rules.map((rule) => rule.name.slice(0, 2))).toEqual(["p0", "p0", "p1", "p1", "p2", "p2"]);
});

test("a part out of order, one that differs and one nobody began are refused", () => {
	const uploads = new Uploads();
	expect(() => uploads.take(part(1))).toThrow("uploadId: u is not under way");
	uploads.take(part(0));
	expect(() => uploads.take(part(0))).toThrow("is being uploaded: choose another");
	expect(() => uploads.take(part(2))).toThrow("part: 2 came where 1 was due");
	uploads.take(part(0));
	expect(() => uploads.take(part(1, { dryRun: true }))).toThrow("differ from the first part");
	expect(() => uploads.take(part(0, { uploadId: "" }))).toThrow("uploadId: give 1 to 64 characters");
	expect(() => uploads.take(part(0, { parts: 65 }))).toThrow("parts: 65 are too many");
});

test("only so many are open, and silence ends one", async () => {
	const uploads = new Uploads({ open: 2, idleMs: 50, parts: 64 });
	uploads.take(part(0, { uploadId: "a" }));
	uploads.take(part(0, { uploadId: "b" }));
	expect(() => uploads.take(part(0, { uploadId: "c" }))).toThrow("2 uploads are under way: try again");
	await until(() => {
		try {
			uploads.take(part(0, { uploadId: "c" }));
			return true;
		} catch {
			return false;
		}
	});
	expect(() => uploads.take(part(1, { uploadId: "a" }))).toThrow("is not under way");
	uploads.close();
});

test("more rules than a cluster has are refused at the part that brings them", () => {
	const uploads = new Uploads();
	uploads.take(part(0, { rules: manyRules(20_000) }));
	expect(() => uploads.take(part(1))).toThrow("rules: more than 20000");
});
