import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { exampleRule } from "../testing/cluster.ts";
import { expectError, HttpLab } from "../testing/http-lab.ts";

let lab: HttpLab;
beforeAll(async () => {
	lab = await HttpLab.start();
});
afterAll(() => lab.stop());
beforeEach(() => lab.removeAllRules());

test("writing needs the token also on the loopback; reading there does not", async () => {
	const body = exampleRule("video");
	const put = await lab.request("/v1/rules/video", { method: "PUT", body, token: "" });
	expect(put.headers.get("www-authenticate")).toBe("Bearer");
	await expectError(put, 401, /^writing needs the token/);
	await expectError(
		await lab.request("/v1/rules/video", { method: "PUT", body, token: "wrong" }),
		401,
		/token/,
	);
	await expectError(await lab.request("/v1/rules/video", { method: "DELETE", token: "" }), 401, /token/);
	await expectError(
		await lab.request("/v1/apply", { method: "POST", body: { rules: [] }, token: "" }),
		401,
		/token/,
	);
	for (const path of [
		"/v1/rules",
		"/v1/hosts",
		"/v1/workers",
		"/metrics",
		"/openapi.json",
		"/healthz",
		"/readyz",
	]) {
		expect((await lab.request(path, { token: "" })).status).toBe(200);
	}
});

test("a strange Host header is refused, the loopback's names and configured ones are not", async () => {
	const status = async (host: string) => (await lab.request("/v1/rules", { headers: { host } })).status;
	await expectError(
		await lab.request("/v1/rules", { headers: { host: "evil.example" } }),
		403,
		/^Host "evil.example"/,
	);
	expect(await status("evil.example:7080")).toBe(403);
	expect(await status("192.0.2.1")).toBe(403);
	expect(await status("localhost")).toBe(200);
	expect(await status("LOCALHOST:7080")).toBe(200);
	expect(await status("[::1]:7080")).toBe(200);
	expect(await status("relay.example")).toBe(200);
});

test("a Host that is empty, missing or tricky is refused in our words", async () => {
	const cases: [string, number, RegExp][] = [
		["GET /v1/rules HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n", 403, /^Host "" is not served/],
		[
			"GET /v1/rules HTTP/1.1\r\nHost: 127.0.0.1@evil.com\r\nConnection: close\r\n\r\n",
			403,
			/^Host "127.0.0.1@evil.com"/,
		],
		["GET /v1/rules HTTP/1.0\r\n\r\n", 403, /^Host "" is not served/],
		[
			"GET http://localhost/v1/rules HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
			403,
			/^Host "evil.example"/,
		],
	];
	for (const [text, status, message] of cases) {
		const [answered, said] = await lab.rawRequest(text);
		expect(said).toMatch(message);
		expect(answered).toBe(status);
	}
});

test("a browser that takes us for a proxy of a stranger's name is refused, however it writes the target", async () => {
	// Both name the stranger: a client must copy the target's authority into Host (RFC 9112, 3.2.2).
	for (const target of [
		"http://evil.example/v1/rules",
		"http://evil.example:7080/v1/rules",
		"HTTP://EVIL.example",
	]) {
		const hosts = ["Host: evil.example", "Host: evil.example:7080", "Host: localhost\r\nHost: evil.example"];
		for (const host of [...hosts, "Host: evil.example\r\nHost: localhost", "X-No: host"]) {
			for (const method of ["GET", "DELETE"]) {
				const [status] = await lab.rawRequest(
					`${method} ${target} HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`,
				);
				expect([400, 403]).toContain(status);
			}
		}
	}
});

test("the name in an absolute target has no weight: neither for what is allowed, nor in an answer", async () => {
	const ask = (target: string, host: string) =>
		lab.rawRequest(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
	expect((await ask("http://localhost/v1/rules", "evil.example"))[0]).toBe(403);
	const [status, said] = await ask("http://evil.example/v2/rules", "localhost");
	expect([status, said]).toEqual([404, "/v2/rules is not here: /openapi.json lists what is"]);
	for (const target of ["//evil.example/v1/rules", "http://localhost@evil.example//v1/rules"]) {
		expect((await ask(target, "localhost"))[0]).toBe(404);
	}
});
