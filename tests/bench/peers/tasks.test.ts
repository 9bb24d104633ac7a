import { expect, test } from "bun:test";
import { addressAfter, ONE_TO_ONE, pairs } from "./peer.ts";
import { rulesOf } from "./sluice.ts";
import { configuration, smcroute } from "./smcroute.ts";

test("addresses follow one another over the ends of their bytes", () => {
	expect(addressAfter("239.1.0.1", 0)).toBe("239.1.0.1");
	expect(addressAfter("239.1.0.255", 1)).toBe("239.1.1.0");
	expect(addressAfter("239.64.0.1", 9_998)).toBe("239.64.39.15");
});

test("streams have an input each, copies have one for all", () => {
	expect(pairs({ ...ONE_TO_ONE, streams: 2 })).toEqual([
		{ group: "239.1.0.1", to: "239.10.0.1" },
		{ group: "239.1.0.2", to: "239.10.0.2" },
	]);
	expect(pairs({ ...ONE_TO_ONE, copies: 2 })).toEqual([
		{ group: "239.1.0.1", to: "239.10.0.1" },
		{ group: "239.1.0.1", to: "239.10.0.2" },
	]);
});

test("Sluice does the same with a rule for each stream, beside rules that nothing is sent to", () => {
	for (const task of [
		{ ...ONE_TO_ONE, streams: 50 },
		{ ...ONE_TO_ONE, copies: 64 },
	]) {
		const flows = rulesOf(task).flatMap(({ input, outputs }) =>
			outputs.map(({ address }) => ({ group: input.group, to: address })),
		);
		expect(flows).toEqual(pairs(task));
	}
	const rules = rulesOf({ ...ONE_TO_ONE, idleRules: 9_999 });
	expect(new Set(rules.map(({ name }) => name)).size).toBe(10_000);
	expect(new Set(rules.map(({ input }) => input.group)).size).toBe(10_000);
	expect(new Set(rules.flatMap(({ outputs }) => outputs.map(({ address }) => address))).size).toBe(10_000);
});

test("smcroute joins and forwards each group, and says what the kernel does not do", () => {
	expect(
		configuration({ ...ONE_TO_ONE, streams: 2 })
			.trimEnd()
			.split("\n"),
	).toEqual([
		"phyint r0 enable",
		"phyint r1 enable",
		"mgroup from r0 group 239.1.0.1",
		"mroute from r0 source 10.1.0.2 group 239.1.0.1 to r1",
		"mgroup from r0 group 239.1.0.2",
		"mroute from r0 source 10.1.0.2 group 239.1.0.2 to r1",
	]);
	expect(smcroute.unable(ONE_TO_ONE)).toBeUndefined();
	expect(smcroute.unable({ ...ONE_TO_ONE, copies: 2 })).toBe("the kernel sends one copy to each interface");
	expect(smcroute.unable({ ...ONE_TO_ONE, streams: 21 })).toBe("it joins at most 20 groups");
});
