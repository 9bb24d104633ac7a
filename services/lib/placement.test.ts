import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { type Rule, RuleSchema } from "@sluice/proto/gen/rule";
import { placementOn, withRemembered } from "./placement.ts";

const place = (rule: Rule, hosts: readonly HostRecord[]) => placementOn(hosts)(rule);

const host = (name: string, ...interfaces: string[]) =>
	create(HostRecordSchema, { host: name, interfaces: interfaces.map((each) => ({ name: each })) });
const rule = (interfaceName: string, hosts: string[] = []) =>
	create(RuleSchema, { name: "r", input: { interface: interfaceName }, hosts });

const a = host("a", "r0", "r1");
const b = host("b", "r1", "r2");

test("named hosts are taken as they are, known or not", () => {
	expect(place(rule("r0", ["z", "a"]), [a, b])).toEqual({ hosts: ["a", "z"] });
});

test("all means every known host", () => {
	expect(place(rule("r0", ["all"]), [b, a])).toEqual({ hosts: ["a", "b"] });
	expect(place(rule("r0", ["all"]), [])).toEqual({ hosts: [], pending: "no host is known yet" });
});

test("without hosts it is the one that has the input interface", () => {
	expect(place(rule("r0"), [a, b])).toEqual({ hosts: ["a"] });
	expect(place(rule("r2"), [a, b])).toEqual({ hosts: ["b"] });
});

test("several that have it: the rule waits and says what to do", () => {
	expect(place(rule("r1"), [b, a])).toEqual({
		hosts: ["a", "b"],
		pending: "hosts a, b match: name one, or all",
	});
});

test("of very many that have it the first are named: each says it of each such rule", () => {
	const many = Array.from({ length: 100 }, (_, k) => host(`h-${100 + k}`, "r0"));
	const { hosts, pending } = place(rule("r0"), many);
	expect(hosts).toHaveLength(100);
	const known = new Map(many.slice(1).map((each) => [each.host, each]));
	expect(withRemembered(pending ?? "", known)).toBe(`${pending} (h-100: remembered, not seen)`);
	expect(pending).toBe(
		"hosts h-100, h-101, h-102, h-103, h-104, h-105, h-106, h-107 and 92 more match: name one, or all",
	);
});

test("one that speaks another protocol stops none that has it and understands the cluster", () => {
	const old = create(HostRecordSchema, { ...b, host: "old", protocolVersion: 1 });
	expect(place(rule("r1"), [a, old])).toEqual({ hosts: ["a"] });
	expect(place(rule("r2"), [a, old])).toEqual({ hosts: ["old"] });
});

test("none that has it: every host waits", () => {
	expect(place(rule("r9"), [b, a])).toEqual({ hosts: ["a", "b"], pending: "no interface r9 here" });
	expect(place(rule("r9"), [])).toEqual({ hosts: [], pending: "no host is known yet" });
});

test("labels mean every host that carries all of them, whatever its interfaces", () => {
	const at = (name: string, labels: Record<string, string>) =>
		create(HostRecordSchema, { host: name, labels });
	const hosts = [
		at("c", { site: "north", role: "edge" }),
		at("a", { site: "north", role: "edge", rack: "7" }),
		at("b", { site: "north" }),
	];
	const labelled = (hostLabels: Record<string, string>) => create(RuleSchema, { name: "r", hostLabels });
	expect(place(labelled({ site: "north", role: "edge" }), hosts)).toEqual({ hosts: ["a", "c"] });
	expect(place(labelled({ site: "south", role: "edge" }), hosts)).toEqual({
		hosts: ["a", "b", "c"],
		pending: "no host carries role=edge,site=south",
	});
	expect(place(labelled({ site: "north" }), [])).toEqual({ hosts: [], pending: "no host is known yet" });
});
