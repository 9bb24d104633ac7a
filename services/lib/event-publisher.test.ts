import { afterAll, beforeAll, expect, test } from "bun:test";
import { HostChangedSchema } from "@sluice/proto/gen/event";
import { EventPublisher } from "./event-publisher.ts";
import { startNatsServer, type TestNatsServer } from "./testing/nats-server.ts";
import { until } from "./testing/until.ts";

let server: TestNatsServer;
beforeAll(async () => {
	server = await startNatsServer();
});
afterAll(() => server.stop());

test("events come in JSON, in the order they were told", async () => {
	const watcher = await server.connect();
	const heard: { text: string; type: string }[] = [];
	watcher.subscribe("sluice.v1.event.>", {
		callback: (_, message) => {
			heard.push({ text: message.string(), type: message.headers?.get("Content-Type") ?? "" });
		},
	});
	await watcher.flush();
	const publisher = new EventPublisher(await server.connect(), () => {});
	for (let k = 0; k < 1_000; k += 1)
		publisher.tell("sluice.v1.event.host.a.gone", HostChangedSchema, { host: `host-${k}`, gone: true });
	await until(() => heard.length === 1_000);
	expect(heard[0]).toEqual({
		text: '{"host":"host-0","gone":true,"incarnation":"0","lastSeenSeconds":0,"atUnixMs":"0","stopped":false,"forgotten":false}',
		type: "application/json",
	});
	expect(heard.map(({ text }) => (JSON.parse(text) as { host: string }).host)).toEqual(
		Array.from({ length: 1_000 }, (_, k) => `host-${k}`),
	);
});

test("nobody waits for an event: what is too much, or has nowhere to go, is dropped and counted", async () => {
	const nc = await server.connect();
	const said: number[] = [];
	const publisher = new EventPublisher(nc, (dropped) => said.push(dropped), 10, 100);
	for (let k = 0; k < 25; k += 1) publisher.tell("sluice.v1.event.x", HostChangedSchema, {});
	expect(publisher.dropped).toBe(15);
	await nc.close();
	await until(() => publisher.dropped === 25);
	// Together, not each.
	await until(() => said.at(-1) === 25);
	expect(said.length).toBeLessThanOrEqual(2);
});
