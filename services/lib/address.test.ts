import { expect, test } from "bun:test";
import { formatIpv4, formatPrefix, isMulticast, looksLikeIpv6, parseIpv4, parsePrefix } from "./address.ts";

test("IPv4 addresses are read and written as they are", () => {
	for (const text of ["0.0.0.0", "10.0.0.5", "239.255.255.255", "255.255.255.255"]) {
		expect(formatIpv4(parseIpv4(text) ?? -1)).toBe(text);
	}
	expect(parseIpv4("239.1.2.3")).toBe(0xef010203);
});

test("what only looks like an address is none", () => {
	for (const text of [
		"",
		"1.2.3",
		"1.2.3.4.5",
		"256.1.1.1",
		"01.2.3.4",
		"1.2.3.4 ",
		"1.2.3.-4",
		"1.2.3.0x4",
		"a.b.c.d",
		"::1",
	]) {
		expect(parseIpv4(text)).toBeUndefined();
	}
});

test("prefixes lose their host bits; a /32 is written plain", () => {
	const canonical = (text: string) => {
		const prefix = parsePrefix(text);
		return prefix === undefined ? undefined : formatPrefix(prefix);
	};
	expect(canonical("10.1.2.3")).toBe("10.1.2.3");
	expect(canonical("10.1.2.3/32")).toBe("10.1.2.3");
	expect(canonical("10.1.2.3/24")).toBe("10.1.2.0/24");
	expect(canonical("10.1.2.3/0")).toBe("0.0.0.0/0");
	expect(canonical("192.168.255.255/17")).toBe("192.168.128.0/17");
	for (const text of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0/8", "/8"]) {
		expect(canonical(text)).toBeUndefined();
	}
});

test("multicast is 224.0.0.0/4", () => {
	const multicast = (text: string) => isMulticast(parseIpv4(text) ?? 0);
	expect(["223.255.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0"].map(multicast)).toEqual([
		false,
		true,
		true,
		false,
	]);
	expect(looksLikeIpv6("ff3e::1")).toBe(true);
});
