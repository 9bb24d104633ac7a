import { describe, expect, test } from "bun:test";
import { formatEndpoint, parseEndpoint } from "./endpoint.ts";

const parse = (text: string) => parseEndpoint("--in", text, "IFACE:GROUP:PORT");

describe("an endpoint", () => {
	test("is interface, address and port", () => {
		expect(parse("r0:239.1.1.1:5001")).toEqual({
			interface: "r0",
			address: "239.1.1.1",
			port: 5001,
			options: new Map(),
		});
	});

	test("takes IPv6 in brackets", () => {
		expect(parse("eth0:[ff3e::4321]:5000")).toMatchObject({
			interface: "eth0",
			address: "ff3e::4321",
			port: 5000,
		});
	});

	test("takes options after commas", () => {
		expect(parse("eth0.5:10.0.0.1:1,ttl=4,dscp=46").options).toEqual(
			new Map([
				["ttl", "4"],
				["dscp", "46"],
			]),
		);
	});

	test("keeps values that are the server's to refuse", () => {
		expect(parse("r0:1.2.3.4:0").port).toBe(0);
		expect(parse("r0:not-an-address:70000")).toMatchObject({ address: "not-an-address", port: 70000 });
	});

	for (const text of [
		"",
		"r0",
		"r0:239.1.1.1",
		"r0:239.1.1.1:",
		":239.1.1.1:5001",
		"r0::5001",
		"r0:239.1.1.1:http",
		"r0:239.1.1.1:-1",
		"r0:239.1.1.1:4294967296",
		"r0:ff3e::4321:5000",
		"r0:[ff3e::4321:5000",
		"r0:239.1.1.1:5001,ttl",
		"r0:239.1.1.1:5001,ttl=",
		"r0:239.1.1.1:5001,=4",
		"r0:239.1.1.1:5001,ttl=1,ttl=2",
		"r0:239.1.1.1:5001,",
		"r 0:239.1.1.1:5001",
	]) {
		test(`refuses ${JSON.stringify(text)} and says what was expected`, () => {
			expect(() => parse(text)).toThrow(/expected/);
		});
	}

	test("is written as it is read", () => {
		expect(formatEndpoint("r0", "239.1.1.1", 5001)).toBe("r0:239.1.1.1:5001");
		expect(formatEndpoint("eth0", "ff3e::4321", 5000)).toBe("eth0:[ff3e::4321]:5000");
	});
});
