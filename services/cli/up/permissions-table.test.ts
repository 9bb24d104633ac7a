import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { buckets } from "@sluice/proto/subjects";
import { permissionsOf, readBucket, roles } from "./permissions.ts";

const DOCUMENT = resolve(import.meta.dir, "../../../docs/security.md");

/** Subjects of a cell; the nine that reading a bucket takes are one word. */
function cell(subjects: readonly string[] = [], denied: readonly string[] = []): string {
	let rest = subjects;
	const words: string[] = [];
	for (const bucket of Object.values(buckets)) {
		const reading = new Set(readBucket(bucket));
		if (![...reading].every((subject) => rest.includes(subject))) continue;
		rest = rest.filter((subject) => !reading.has(subject));
		words.push(`*read* \`${bucket}\``);
	}
	words.push(
		...rest.map((subject) => `\`${subject}\``),
		...denied.map((subject) => `**not** \`${subject}\``),
	);
	return words.join(", ");
}

test("docs/security.md has the permissions as they are", () => {
	const rows = roles.map((name) => {
		const { publish, subscribe, allowResponses } = permissionsOf(name, "HOST");
		const answers = allowResponses ? "yes" : "no";
		return `| ${name} | ${cell(publish.allow, publish.deny)} | ${cell(subscribe.allow, subscribe.deny)} | ${answers} |`;
	});
	const document = readFileSync(DOCUMENT, "utf8");
	for (const row of rows) expect(document).toContain(row);
});
