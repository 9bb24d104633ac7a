import { expect, test } from "bun:test";
import { isLoopback, urlForOthers } from "./url.ts";

test("a server that listens on one address is found there, one that listens on all at the only address", () => {
	expect(urlForOthers({ address: "10.0.0.1", port: 4333 }, ["10.0.0.1", "10.1.0.1"])).toEqual({
		url: "nats://10.0.0.1:4333",
	});
	expect(urlForOthers({ address: "0.0.0.0", port: 4222 }, ["10.0.0.1"])).toEqual({
		url: "nats://10.0.0.1:4222",
	});
	expect(urlForOthers({ address: "fd00::1", port: 4222 }, [])).toEqual({ url: "nats://[fd00::1]:4222" });
});

test("of several addresses somebody must choose one", () => {
	const own = ["10.0.0.1", "10.1.0.1"];
	for (const address of ["0.0.0.0", "::"])
		expect(urlForOthers({ address, port: 4222 }, own)).toEqual({
			candidates: ["nats://10.0.0.1:4222", "nats://10.1.0.1:4222"],
		});
});

test("the loopback is told from what others can reach", () => {
	for (const url of ["nats://127.0.0.1:4222", "127.0.0.2:1", "nats://localhost:4222", "tls://[::1]:4222"])
		expect(isLoopback(url)).toBeTrue();
	for (const url of ["nats://10.0.0.1:4222", "nats://localhosts.example:4222", "nats://[fd00::1]:4222"])
		expect(isLoopback(url)).toBeFalse();
});
