import { afterEach, beforeEach, expect, test } from "bun:test";
import type { NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { GetRuleRequestSchema, GetRuleResponseSchema } from "@sluice/proto/gen/rule";
import { ConnectionLost, OwnConnection } from "./own-connection.ts";

const SUBJECT = "test.ask";
const TIMEOUT_MS = 20_000;

let server: TestNatsServer;
let nc: NatsConnection;
let asked: number;
let restarted: Promise<void>;
/** Who is asked ends the server the first time, which is started again, and answers from the second on. */
beforeEach(async () => {
	server = await startNatsServer();
	nc = await server.connect();
	asked = 0;
	const service = await server.connect();
	service.subscribe(SUBJECT, {
		callback: (_, request) => {
			asked += 1;
			if (asked > 1) request.respond();
			else restarted = server.kill().then(() => server.start());
		},
	});
	await service.flush();
});
afterEach(async () => {
	await server.stop();
});

const ask = (timeoutMs: number) =>
	call(nc, SUBJECT, GetRuleRequestSchema, GetRuleResponseSchema, { name: "video" }, timeoutMs);

test("what may change something ends as soon as the connection is lost amid it, and is not asked again", async () => {
	const start = performance.now();
	await expect(new OwnConnection(nc).once(ask, TIMEOUT_MS)).rejects.toBeInstanceOf(ConnectionLost);
	expect(performance.now() - start).toBeLessThan(TIMEOUT_MS / 2);
	await restarted;
	expect(asked).toBe(1);
});

test("what only reads is asked again once the connection, and who answers, are back", async () => {
	const own = new OwnConnection(nc);
	await own.untilAnswered(ask, TIMEOUT_MS);
	expect([asked, own.away]).toEqual([2, false]);
	await own.untilAnswered(ask, TIMEOUT_MS);
	expect(asked).toBe(3);
});

test("while it stays away nothing is asked, and the time is kept", async () => {
	const own = new OwnConnection(nc);
	await server.kill();
	await expect(own.untilAnswered(ask, 500)).rejects.toMatchObject({ code: "unavailable" });
	expect([asked, own.away]).toEqual([0, true]);
});
