import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ApplyRequestSchema } from "@sluice/proto/gen/rule";
import { exampleRule, manyRules } from "../testing/cluster.ts";
import { expectError, HttpLab, read, TOKEN } from "../testing/http-lab.ts";
import * as schemas from "./schemas.ts";
import { BODY_LIMIT_BYTES } from "./server.ts";

let lab: HttpLab;
beforeAll(async () => {
	lab = await HttpLab.start();
});
afterAll(() => lab.stop());
beforeEach(() => lab.removeAllRules());

test("a rule is put, read, listed and removed", async () => {
	const { name: _, ...nameless } = exampleRule("video");
	const put = await lab.request("/v1/rules/video", { method: "PUT", body: nameless });
	const { rule, changed } = await read(put, schemas.putRuleResponse);
	expect(changed).toBe(true);
	expect(put.headers.get("etag")).toBe(`"${rule.revision}"`);
	const got = await read(await lab.request("/v1/rules/video"), schemas.getRuleResponse);
	expect(got.rule).toEqual(rule);
	expect((await read(await lab.request("/v1/rules"), schemas.listRulesResponse)).rules).toEqual([rule]);
	const removed = await read(
		await lab.request("/v1/rules/video", { method: "DELETE" }),
		schemas.removeRuleResponse,
	);
	expect(removed.name).toBe("video");
	await expectError(await lab.request("/v1/rules/video"), 404, /^rule video does not exist/);
	await expectError(await lab.request("/v1/rules/video", { method: "DELETE" }), 404, /does not exist/);
});

test("preconditions: If-Match, If-None-Match, and 304 for what a reader has", async () => {
	const put = (group: string, headers: Record<string, string>) =>
		lab.request("/v1/rules/video", { method: "PUT", body: exampleRule("video", group), headers });
	await expectError(
		await put("239.1.1.1", { "if-match": '"7"' }),
		409,
		/does not exist, revision 7 was expected/,
	);
	await expectError(await put("239.1.1.1", { "if-match": "*" }), 404, /does not exist/);
	const etag = (await put("239.1.1.1", { "if-none-match": "*" })).headers.get("etag") ?? "";
	const again = await put("239.1.1.2", { "if-none-match": "*" });
	expect(schemas.errorBody.parse(await again.json()).error).toMatchObject({
		code: "conflict",
		revision: etag.replaceAll('"', ""),
	});
	await expectError(
		await put("239.1.1.2", { "if-match": '"1", "2"' }),
		400,
		/^If-Match: .* is not one revision/,
	);
	await expectError(await put("239.1.1.2", { "if-none-match": etag }), 400, /^If-None-Match/);
	expect((await lab.request("/v1/rules/video", { headers: { "if-none-match": etag } })).status).toBe(304);
	expect((await put("239.1.1.2", { "if-match": etag })).status).toBe(200);
	expect((await lab.request("/v1/rules/video", { headers: { "if-none-match": etag } })).status).toBe(200);
	const stale = await lab.request("/v1/rules/video", { method: "DELETE", headers: { "if-match": etag } });
	await expectError(stale, 409, /read it again/);
	expect(
		(await lab.request("/v1/rules/video", { method: "DELETE", headers: { "if-match": "*" } })).status,
	).toBe(200);
});

test("wrong bodies get a 400 with the path of the field", async () => {
	const put = (body: unknown) => lab.request("/v1/rules/video", { method: "PUT", body });
	const rule = exampleRule("video");
	const output = { interface: "r1", address: "239.10.1.1", port: 6001 };
	await expectError(await put("{"), 400, /^the body is not JSON/);
	await expectError(await put({ ...rule, colour: "red" }), 400, /colour/);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, speed: 1 }] }),
		400,
		/^outputs\[0\]: .*speed/,
	);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, ttl: 0 }] }),
		400,
		/^outputs\[0\]\.ttl: 0 is not 1 to 255$/,
	);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, ttl: "9" }] }),
		400,
		/^outputs\[0\]\.ttl: "9" is not a whole/,
	);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, port: 1.5 }] }),
		400,
		/^outputs\[0\]\.port: 1\.5 is not a whole/,
	);
	await expectError(await put({ ...rule, outputs: [] }), 400, /^outputs: missing/);
	await expectError(await put({ ...rule, name: "other" }), 400, /^name: "other" is not video/);
	await expectError(await put([]), 400, /object/);
	await expectError(
		await lab.request("/v1/rules/Bad", { method: "PUT", body: { ...rule, name: undefined } }),
		400,
		/^name: "Bad"/,
	);
	await expectError(await lab.request("/v1/rules?colour=red"), 400, /colour/);
	await expectError(await lab.request("/v1/rules?pageSize=x"), 400, /^pageSize: is not a number/);
});

test("a conflict is a 409 that names the other", async () => {
	await lab.request("/v1/rules/a", { method: "PUT", body: exampleRule("a") });
	await expectError(
		await lab.request("/v1/rules/b", { method: "PUT", body: exampleRule("b") }),
		409,
		/is taken by rule a/,
	);
});

test("apply: dry run by query, prune, and nothing written when one rule is wrong", async () => {
	const apply = (query: string, rules: unknown[]) =>
		lab.request(`/v1/apply${query}`, { method: "POST", body: { rules } });
	const dry = await read(await apply("?dryRun", [exampleRule("a")]), schemas.applyResponse);
	expect([dry.added, dry.changes[0]?.action, dry.changes[0]?.revision]).toEqual([1, "ADDED", "0"]);
	expect((await read(await apply("", manyRules(20)), schemas.applyResponse)).added).toBe(20);
	await expectError(
		await apply("?prune=true", [exampleRule("a"), exampleRule("b")]),
		409,
		/^rules\[1\] \(b\): input:/,
	);
	const pruned = await read(await apply("?prune=1", [exampleRule("a")]), schemas.applyResponse);
	expect([pruned.added, pruned.removed]).toEqual([1, 20]);
	await expectError(await apply("?prune=maybe", []), 400, /^prune: is neither true nor false/);
	const page = await read(await lab.request("/v1/rules?pageSize=1"), schemas.listRulesResponse);
	expect(page.nextPageToken).toBe("");
});

test("a key that stands twice is refused, and a wrong shape says where the right one is", async () => {
	const put = (body: string) => lab.request("/v1/rules/video", { method: "PUT", body });
	await expectError(
		await lab.request("/v1/apply", { method: "POST", body: '{"rules":[],"rules":[]}' }),
		400,
		/^the body: line 1: rules stands twice/,
	);
	await expectError(await put('{"input":7,"outputs":[]}'), 400, /^input: .*: see \/openapi\.json$/);
});

test("a body over the limit is a 413", async () => {
	const body = " ".repeat(BODY_LIMIT_BYTES + 1);
	await expectError(await lab.request("/v1/apply", { method: "POST", body }), 413, /^the body is over/);
	const larger = await lab.request("/v1/apply", { method: "POST", body: " ".repeat(BODY_LIMIT_BYTES * 2) });
	expect(larger.status).toBe(413);
	const chunked = await fetch(`${lab.http.url}/v1/apply`, {
		method: "POST",
		headers: { authorization: `Bearer ${TOKEN}` },
		body: new ReadableStream({
			start(controller) {
				for (let k = 0; k < 5; k += 1) controller.enqueue(new Uint8Array(1024 * 1024).fill(32));
				controller.close();
			},
		}),
	});
	expect(chunked.status).toBe(413);
});

test("a body of hundreds of thousands of values is a 413 before it is parsed", async () => {
	const body = `{"rules":[${"{},".repeat(200_001)}{}]}`;
	await expectError(await lab.request("/v1/apply", { method: "POST", body }), 413, /send less at once$/);
});

test("4 MB hold 10,000 rules", async () => {
	const body = JSON.stringify({ rules: manyRules(10_000) });
	expect(body.length).toBeLessThan(BODY_LIMIT_BYTES);
	const applied = await read(await lab.request("/v1/apply", { method: "POST", body }), schemas.applyResponse);
	expect(applied.added).toBe(10_000);
	expect(create(ApplyRequestSchema, { rules: manyRules(1) }).rules).toHaveLength(1);
}, 60_000);
