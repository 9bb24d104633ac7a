import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type StoredRule, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { heldPage } from "./host-commands.ts";

test("pages of held rules fit a message, and hold each rule once, in order", () => {
	const outputs = Array.from({ length: 256 }, (_, k) => ({
		interface: "r1",
		address: "239.10.1.1",
		port: k + 1,
	}));
	const held: StoredRule[] = Array.from({ length: 1_000 }, (_, k) =>
		create(StoredRuleSchema, { rule: { name: `rule-${String(k).padStart(4, "0")}`, outputs }, uid: "u" }),
	);
	const names: string[] = [];
	let pages = 0;
	let after = "";
	do {
		const page = heldPage(held, after);
		names.push(...page.rules.map(({ rule }) => rule?.name ?? ""));
		after = page.nextPageToken;
		pages += 1;
	} while (after !== "");
	expect(names).toEqual(held.map(({ rule }) => rule?.name ?? ""));
	expect(pages).toBeGreaterThan(4);
	expect(heldPage([], "")).toMatchObject({ rules: [], nextPageToken: "" });
});
