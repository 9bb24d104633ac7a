import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import type { Msg } from "@nats-io/transport-node";
import { until } from "@sluice/lib/testing/until";
import { requests } from "@sluice/proto/subjects";
import { quietLogger } from "../testing/cluster.ts";
import { expectError, HttpLab, TOKEN } from "../testing/http-lab.ts";
import * as schemas from "./schemas.ts";
import { startHttp } from "./server.ts";

let lab: HttpLab;
beforeAll(async () => {
	lab = await HttpLab.start();
});
afterAll(() => lab.stop());
beforeEach(() => lab.removeAllRules());

test("unknown paths are 404, wrong methods 405 with Allow, HEAD is GET without a body", async () => {
	await expectError(await lab.request("/v2/rules"), 404, /^\/v2\/rules is not here/);
	await expectError(await lab.request("/v1/rules/a/b"), 404, /is not here/);
	const post = await lab.request("/v1/rules", { method: "POST", body: {} });
	expect(post.headers.get("allow")).toBe("GET, HEAD");
	expect([post.status, schemas.errorBody.parse(await post.json()).error.code]).toEqual([
		405,
		"method_not_allowed",
	]);
	const patch = await lab.request("/v1/rules/video", { method: "PATCH" });
	expect(patch.headers.get("allow")).toBe("GET, PUT, DELETE, HEAD");
	const head = await lab.request("/v1/rules", { method: "HEAD" });
	expect([head.status, await head.text()]).toEqual([200, ""]);
	expect((await lab.request("/openapi.json", { method: "POST" })).status).toBe(405);
});

test("more requests at one time than are taken are a 503, the others are answered", async () => {
	const asked: Msg[] = [];
	const aggregator = lab.cluster.nc.subscribe(requests.statsGet, {
		callback: (_, message) => void asked.push(message),
	});
	await lab.cluster.nc.flush();
	const stats = "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	const answers = Array.from({ length: 300 }, () => lab.rawRequest(stats));
	await until(() => asked.length === 256);
	const refused = await Promise.race(answers);
	expect(refused).toEqual([503, "256 requests are under way: try again"]);
	for (const message of asked) message.respond();
	const statuses = (await Promise.all(answers)).map(([status]) => status);
	expect(statuses.filter((status) => status === 200)).toHaveLength(256);
	expect(statuses.filter((status) => status === 503)).toHaveLength(44);
	aggregator.unsubscribe();
});

test("the port being taken is said in one line", () => {
	const httpPort = Number(new URL(lab.http.url).port);
	const config = { httpAddress: "127.0.0.1", httpPort, httpToken: TOKEN, httpHosts: [] };
	expect(() => startHttp(lab.cluster.nc, lab.api, config, quietLogger())).toThrow(
		`HTTP cannot listen on 127.0.0.1:${httpPort}`,
	);
});
