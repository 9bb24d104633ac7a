import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import { GetStatsRequestSchema } from "@sluice/proto/gen/stats";
import { emptyFold } from "./fold.ts";
import { getStats } from "./page.ts";
import { foldReading, output, rule, T0 } from "./testing/counters.ts";

const rules = Array.from({ length: 1200 }, (_, k) => rule(`r-${String(k).padStart(4, "0")}`, k));

function page(request: { names?: string[]; pageSize?: number; pageToken?: string }, of = rules) {
	const fold = emptyFold();
	foldReading(fold, { interfaces: [{ name: "r0", captured: 1n, unmatched: 1n }] });
	return getStats(fold, of, create(GetStatsRequestSchema, request), T0);
}

describe("getStats", () => {
	test("pages in order of names until the token is empty; the first alone lists interfaces and workers", () => {
		const names: string[] = [];
		const lengths: number[][] = [];
		let pageToken = "";
		do {
			const answer = page({ pageToken });
			names.push(...answer.rules.map(({ name }) => name));
			lengths.push([answer.rules.length, answer.interfaces.length, answer.workers.length]);
			pageToken = answer.nextPageToken;
		} while (pageToken !== "");
		expect(names).toEqual(rules.map(({ name }) => name));
		expect(lengths).toEqual([
			[500, 1, 1],
			[500, 0, 0],
			[200, 0, 0],
		]);
	});

	test("a page of the exact rest has no token", () => {
		expect(page({ pageSize: 3 }, rules.slice(0, 3)).nextPageToken).toBe("");
		expect(page({ pageSize: 2 }, rules.slice(0, 3)).nextPageToken).toBe("r-0001");
	});

	test("a rule removed between two pages skips none of the others", () => {
		const without = rules.filter(({ name }) => name !== "r-0001");
		expect(page({ pageSize: 2, pageToken: "r-0001" }, without).rules.map(({ name }) => name)).toEqual([
			"r-0002",
			"r-0003",
		]);
	});

	test("a page is bounded by its outputs too, so that it fits a message", () => {
		const outputs = Array.from({ length: 256 }, (_, k) => output("r1", "239.1.1.1", k + 1));
		const wide = Array.from({ length: 500 }, (_, k) => rule(`w-${String(k).padStart(4, "0")}`, k, outputs));
		const answer = page({}, wide);
		expect(answer.rules.length).toBe(32);
		expect(answer.nextPageToken).toBe("w-0031");
	});

	test("names select; an unknown one is not found and named", () => {
		expect(page({ names: ["r-0002", "r-0001", "r-0002"] }).rules.map(({ name }) => name)).toEqual([
			"r-0001",
			"r-0002",
		]);
		const refused = () => page({ names: ["r-0001", "nope"] });
		expect(refused).toThrow(/^rule nope does not exist/);
		try {
			refused();
		} catch (thrown) {
			expect(thrown instanceof SluiceError && thrown.code).toBe("not_found");
		}
	});
});
