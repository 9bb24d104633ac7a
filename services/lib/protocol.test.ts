import { expect, test } from "bun:test";
import { protocolComplaint, protocolOf } from "./protocol.ts";

test("another version is complained of with both, and who is behind", () => {
	expect(protocolComplaint(2, 3)).toBe(
		"this host speaks protocol 2 and the cluster 3: bring this host up to it",
	);
	expect(protocolComplaint(3, 2)).toBe(
		"this host speaks protocol 3 and the cluster 2: bring the cluster up to this host",
	);
	expect(protocolComplaint(2, 2)).toBeUndefined();
	expect(protocolComplaint(2, undefined)).toBeUndefined();
	expect(protocolComplaint(0, 2)).toBeUndefined();
});

test("what is stamped is a version, or nothing", () => {
	expect(protocolOf({ sluice_protocol: "2" })).toBe(2);
	for (const text of ["", "0", "-1", "x", "1e3", "12345678"]) {
		expect(protocolOf({ sluice_protocol: text })).toBeUndefined();
	}
	expect(protocolOf(undefined)).toBeUndefined();
});
