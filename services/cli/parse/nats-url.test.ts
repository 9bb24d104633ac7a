import { expect, test } from "bun:test";
import { checkNatsUrl } from "./nats-url.ts";

test("a URL of NATS is an address, with a scheme and a port or without", () => {
	for (const url of [
		"nats://127.0.0.1:4222",
		"tls://nats.example.org:4443",
		"nats://[fd00::1]:4222",
		"10.0.0.1:4222",
		"nats.example",
		"nats://a:1,nats://b:2",
	])
		expect(checkNatsUrl("--nats", url)).toBe(url);
});

test("what cannot be one is refused with what is expected", () => {
	for (const url of [
		"",
		"http://10.0.0.1:4222",
		"nats://",
		"nats://10.0.0.1:0",
		"nats://10.0.0.1:99999",
		"nats://user:secret@10.0.0.1:4222",
		"nats://a b",
		"nats://fd00::1:4222",
		"nats://a:1,",
	])
		expect(() => checkNatsUrl("--nats", url)).toThrow(
			`--nats ${url}: expected nats://ADDR:PORT or tls://ADDR:PORT, or several with commas between`,
		);
});
