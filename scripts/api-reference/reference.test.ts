import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { file_sluice_v1_rule } from "../../proto/gen/sluice/v1/rule_pb.ts";
import { requests } from "../../proto/subjects.ts";
import { type ErrorCode, httpStatus } from "../../services/lib/errors.ts";
import * as headers from "../../services/lib/headers.ts";
import { checkout } from "../owner.ts";
import { reference } from "./reference.ts";

const document = readFileSync(join(checkout, "docs/api.md"), "utf8");

test("every request has its section", () => {
	for (const subject of Object.values(requests)) expect(document).toContain(`\n### \`${subject}\`\n`);
});

test("every code and header of an error is explained", () => {
	// Complete, by its type.
	const codes: Record<ErrorCode, true> = {
		invalid: true,
		unauthenticated: true,
		forbidden: true,
		not_found: true,
		conflict: true,
		too_large: true,
		unavailable: true,
		timeout: true,
		internal: true,
	};
	for (const code of Object.keys(codes) as ErrorCode[])
		expect(document).toContain(`\n| ${httpStatus(code)} | ${code} | `);
	for (const header of [
		headers.SERVICE_ERROR_CODE_HEADER,
		headers.SERVICE_ERROR_HEADER,
		headers.SERVICE_REVISION_HEADER,
	])
		expect(document).toContain(`\n| \`${header}\` | `);
});

test("what nobody has explained is no reference", () => {
	// Generated code carries no comments.
	expect(() => reference([file_sluice_v1_rule])).toThrow("say in a comment what it is");
});
