import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { outputKey } from "@sluice/proto/output-key";
import { ip } from "../reconcile/testing/world.ts";
import { desiredRule } from "./desired-rule.ts";

const UID = "0f8fad5b-d9cb-469f-a165-70867728950e";

interface Changes {
	readonly input?: {
		readonly interface: string;
		readonly group: string;
		readonly port: number;
		readonly vlan?: number;
		readonly sources?: readonly string[];
	};
	readonly outputs?: readonly {
		readonly interface: string;
		readonly address: string;
		readonly port: number;
		readonly ttl?: number;
		readonly dscp?: number;
		readonly sourcePort?: number;
	}[];
}

function read(changes: Changes = {}, uid = UID) {
	const {
		input = { interface: "r0", group: "239.1.1.1", port: 5001 },
		outputs = [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
	} = changes;
	const rule = {
		name: "a",
		input: { ...input, sources: [...(input.sources ?? [])] },
		outputs: outputs.map((output) => ({ ...output })),
	};
	return desiredRule("a", create(StoredRuleSchema, { uid, rule }), 7n);
}

test("defaults are filled in: TTL 16, DSCP 0, the destination port as source port, no VLAN", () => {
	expect(read()).toEqual({
		name: "a",
		uid: UID,
		revision: 7n,
		input: { interface: "r0", group: ip("239.1.1.1"), multicast: true, port: 5001, vlan: 0, sources: [] },
		outputs: [
			{
				interface: "r1",
				address: ip("239.10.1.1"),
				multicast: true,
				port: 6001,
				ttl: 16,
				dscp: 0,
				sourcePort: 6001,
				key: outputKey("r1", "239.10.1.1", 6001),
			},
		],
	});
});

test("what is said is kept", () => {
	const { input, outputs } = read({
		input: { interface: "r0", group: "10.0.0.1", port: 1, vlan: 7, sources: ["10.1.0.0/16", "10.1.2.3"] },
		outputs: [{ interface: "r1", address: "10.0.0.9", port: 2, ttl: 3, dscp: 46, sourcePort: 4 }],
	});
	expect(input).toMatchObject({ multicast: false, vlan: 7 });
	expect(input.sources).toEqual([
		{ address: ip("10.1.0.0"), length: 16 },
		{ address: ip("10.1.2.3"), length: 32 },
	]);
	expect(outputs[0]).toMatchObject({ multicast: false, ttl: 3, dscp: 46, sourcePort: 4 });
});

test("a source that is said twice counts once", () => {
	const input = { interface: "r0", group: "239.1.1.1", port: 1, sources: ["10.1.2.3", "10.1.2.3/32"] };
	expect(read({ input }).input.sources).toHaveLength(1);
});

test.each([
	["group", { input: { interface: "r0", group: "239.1.1", port: 5001 } }],
	["port", { input: { interface: "r0", group: "239.1.1.1", port: 0 } }],
	["source", { input: { interface: "r0", group: "239.1.1.1", port: 1, sources: ["nonsense"] } }],
	["no output", { outputs: [] }],
	["output address", { outputs: [{ interface: "r1", address: "::1", port: 1 }] }],
	["output TTL", { outputs: [{ interface: "r1", address: "239.1.1.1", port: 1, ttl: 0 }] }],
] as const)("a stored rule with a bad %s is marked, not thrown at the others", (_, changes) => {
	expect(read(changes).malformed).toBeString();
});

test("a stored rule without a UUID is marked", () => {
	expect(read({}, "nonsense").malformed).toBeString();
});

test("a stored rule with a field of a later version is marked, wherever that stands", () => {
	const unknown = [{ no: 100, wireType: 0, data: new Uint8Array([1]) }];
	const sound = create(StoredRuleSchema, {
		uid: UID,
		rule: {
			name: "a",
			input: { interface: "r0", group: "239.1.1.1", port: 5001 },
			outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
		},
	});
	expect(desiredRule("a", sound, 7n).malformed).toBeUndefined();
	for (const part of [sound, sound.rule, sound.rule?.input, sound.rule?.outputs[0]]) {
		if (part === undefined) throw new Error("the fixture lacks a part");
		part.$unknown = unknown;
		expect(desiredRule("a", sound, 7n).malformed).toContain("fields that this host does not know");
		part.$unknown = [];
	}
});
