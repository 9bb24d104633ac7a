import { describe, expect, test } from "bun:test";
import { emptyFold } from "./fold.ts";
import { PublicationSchedule } from "./publication.ts";
import { foldReading, rule, T0, uid } from "./testing/counters.ts";

describe("PublicationSchedule", () => {
	test("flowing rules each second, once more when they fall silent, then every ten seconds", () => {
		const fold = emptyFold();
		const schedule = new PublicationSchedule();
		const rules = [rule("quiet", 1), rule("video", 2)];
		const names = (second: number) => schedule.due(fold, rules, T0 + second * 1000).map(({ name }) => name);
		const receive = (second: number) =>
			foldReading(fold, {
				sequence: BigInt(second + 1),
				atMs: T0 + second * 1000,
				rules: [{ uid: uid(2), received: BigInt(second + 1) * 100n }],
			});
		receive(0);
		expect(names(0)).toEqual(["quiet", "video"]);
		receive(1);
		expect(names(1)).toEqual(["video"]);
		receive(2);
		expect(names(2)).toEqual(["video"]);
		expect(names(3)).toEqual(["video"]);
		expect(names(4)).toEqual([]);
		expect(names(10)).toEqual(["quiet"]);
		expect(names(13)).toEqual(["video"]);
	});
});
