import { expect, test } from "bun:test";
import { SluiceError } from "@sluice/lib/errors";
import { nameFlag } from "./name-flag.ts";

const options = {
	in: "r0:239.1.1.1:5001,vlan=5000",
	out: ["r1:239.10.1.1:6001", "r2:239.10.1.1:6001,ttl=0"],
	source: ["10.0.0.5", "nonsense"],
	host: ["relay-a", "Relay B"],
	hostLabels: "site=north",
};

test("a refused value names the flag that was typed, and its path", () => {
	for (const [path, typed] of [
		["input.vlan", "--in r0:239.1.1.1:5001,vlan=5000"],
		["input", "--in r0:239.1.1.1:5001,vlan=5000"],
		["input.sources[1]", "--source nonsense"],
		["input.sources", "--source"],
		["outputs[1].ttl", "--out r2:239.10.1.1:6001,ttl=0"],
		["outputs[0]", "--out r1:239.10.1.1:6001"],
		["outputs", "--out"],
		["hosts[1]", "--host Relay B"],
		["hostLabels", "--host-labels site=north"],
		["name", "Bad_Name"],
	]) {
		const refusal = new SluiceError("invalid", `${path}: 0 is wrong`);
		expect(nameFlag(refusal, "Bad_Name", options)).toMatchObject({
			code: "invalid",
			message: `${typed}: ${path}: 0 is wrong`,
		});
	}
});

test("what is about no flag stays as it is", () => {
	for (const error of [
		new SluiceError("invalid", "rule: missing: give a rule"),
		new SluiceError("conflict", "input: the same as that of rule b"),
		new Error("input: x"),
	]) {
		expect(nameFlag(error, "a", options)).toBe(error);
	}
});
