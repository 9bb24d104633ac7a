import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { RuleSchema } from "@sluice/proto/gen/rule";
import { Claims } from "./claims.ts";

interface Claimed {
	readonly interface?: string;
	readonly group?: string;
	readonly port?: number;
	readonly vlan?: number;
	readonly sources?: string[];
	readonly hosts?: string[];
	readonly hostLabels?: Record<string, string>;
}

function rule(name: string, { hosts = [], hostLabels = {}, vlan, ...more }: Claimed = {}) {
	const input = {
		interface: "r0",
		group: "239.1.1.1",
		port: 5001,
		...more,
		...(vlan === undefined ? {} : { vlan }),
	};
	return create(RuleSchema, { name, input, hosts, hostLabels });
}

function conflict(first: Claimed, second: Claimed): boolean {
	const claims = new Claims();
	claims.add(rule("first", first));
	return claims.conflict(rule("second", second)) !== undefined;
}

test("the same interface, group and port is a conflict that names the other", () => {
	const claims = new Claims();
	claims.add(rule("video"));
	expect(claims.conflict(rule("other"))).toEqual({ other: "video", prefix: "0.0.0.0/0" });
	expect(claims.conflict(rule("video"))).toBeUndefined();
});

test("another interface, group, port or VLAN is none", () => {
	expect(conflict({}, { interface: "r1" })).toBe(false);
	expect(conflict({}, { group: "239.1.1.2" })).toBe(false);
	expect(conflict({}, { port: 5002 })).toBe(false);
	expect(conflict({}, { vlan: 5 })).toBe(false);
	expect(conflict({ vlan: 5 }, { vlan: 5 })).toBe(true);
});

test("only identical prefixes conflict: the longest match decides between others", () => {
	expect(conflict({}, { sources: ["10.0.0.0/8"] })).toBe(false);
	expect(conflict({ sources: ["10.0.0.0/8"] }, { sources: ["10.0.0.0/16"] })).toBe(false);
	expect(conflict({ sources: ["10.0.0.0/8", "192.0.2.1"] }, { sources: ["192.0.2.1"] })).toBe(true);
	expect(conflict({}, { sources: ["0.0.0.0/0"] })).toBe(true);
});

test("hosts that do not overlap do not conflict; absent hosts overlap with every one", () => {
	expect(conflict({ hosts: ["a"] }, { hosts: ["b"] })).toBe(false);
	expect(conflict({ hosts: ["a", "b"] }, { hosts: ["b", "c"] })).toBe(true);
	expect(conflict({ hosts: ["a"] }, {})).toBe(true);
	expect(conflict({}, { hosts: ["a"] })).toBe(true);
	expect(conflict({ hosts: ["all"] }, { hosts: ["a"] })).toBe(true);
	expect(conflict({ hosts: ["a"] }, { hosts: ["all"] })).toBe(true);
});

test("what is removed claims nothing", () => {
	const claims = new Claims();
	claims.add(rule("a", { hosts: ["x", "y"], sources: ["10.0.0.1", "10.0.0.2"] }));
	claims.remove(rule("a", { hosts: ["x", "y"], sources: ["10.0.0.1", "10.0.0.2"] }));
	expect(claims.conflict(rule("b", { sources: ["10.0.0.2"] }))).toBeUndefined();
});

test("labels may be any host's, so they conflict but with labels that exclude them", () => {
	const north = { hostLabels: { site: "north" } };
	expect(conflict(north, { hostLabels: { site: "south" } })).toBe(false);
	expect(conflict(north, { hostLabels: { site: "south", role: "edge" } })).toBe(false);
	expect(conflict(north, { hostLabels: { role: "edge" } })).toBe(true);
	expect(conflict(north, { hosts: ["a"] })).toBe(true);
	expect(conflict({ hosts: ["a"] }, north)).toBe(true);
	expect(conflict(north, {})).toBe(true);
});

test("rules that only labels keep apart are limited", () => {
	const claims = new Claims();
	const at = (k: number) => rule(`at-${k}`, { hostLabels: { site: String(k) } });
	for (let k = 0; k < 1_024; k += 1) {
		expect(claims.conflict(at(k))).toBeUndefined();
		claims.add(at(k));
	}
	expect(() => claims.conflict(at(1_024))).toThrow("1024 rules with labels have this one already");
	expect(claims.conflict(at(1_023))).toBeUndefined();
	claims.remove(at(7));
	expect(claims.conflict(at(1_024))).toBeUndefined();
});
