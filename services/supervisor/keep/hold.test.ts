import { expect, test } from "bun:test";
import { holdReason, type RulesSeen } from "./hold.ts";

function bucket(names: string[], more: Partial<RulesSeen> = {}): RulesSeen {
	return {
		clusterId: "c1",
		created: "2026-01-01",
		sequence: 9n,
		damaged: false,
		names: new Set(names),
		...more,
	};
}

const known = bucket(["audio", "video"]);

test("rules that are missing from the bucket they stood in were removed", () => {
	expect(holdReason(known, bucket([]))).toBeUndefined();
	expect(holdReason(known, bucket(["audio"], { sequence: 12n }))).toBeUndefined();
});

test("rules that are missing from a bucket made anew, another cluster's, damaged, or gone back are held", () => {
	const remedy = "lacks 1 of the 2 that this host holds: sluice cluster restore";
	for (const [how, now] of [
		["was made anew", bucket(["audio"], { created: "2026-02-02" })],
		["is new or another cluster's", bucket(["audio"], { clusterId: "c2", created: "2026-02-02" })],
		["is damaged", bucket(["audio"], { damaged: true })],
		["went back in time", bucket(["audio"], { sequence: 8n })],
	] as const) {
		expect(holdReason(known, now)).toStartWith(`the bucket of rules ${how} and ${remedy}`);
	}
});

test("another bucket that has every rule by name is followed, whatever else it has", () => {
	expect(holdReason(known, bucket(["audio", "more", "video"], { created: "2026-02-02" }))).toBeUndefined();
	expect(holdReason(bucket([]), bucket([], { created: "2026-02-02" }))).toBeUndefined();
});
