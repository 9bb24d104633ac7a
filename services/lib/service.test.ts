import { afterAll, beforeAll, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { GetRuleRequestSchema, GetRuleResponseSchema, ListRulesResponseSchema } from "@sluice/proto/gen/rule";
import { discoverySubject } from "@sluice/proto/subjects";
import { call } from "./client.ts";
import { SluiceError } from "./errors.ts";
import { endpoint, type RequestRecord, type RunningService, serve } from "./service.ts";
import { startNatsServer, type TestNatsServer } from "./testing/nats-server.ts";
import { publishRaw } from "./testing/raw-publish.ts";
import { until } from "./testing/until.ts";

/** Of what is answered: a loaded machine takes its time. */
const TIMEOUT_MS = 20_000;

let server: TestNatsServer;
let nc: NatsConnection;
let service: RunningService;
let release: () => void = () => {};
let waiting = 0;
const records: RequestRecord[] = [];

beforeAll(async () => {
	server = await startNatsServer({ maxPayload: "64KB" });
	nc = await server.connect("client");
	service = await serve(await server.connect("service"), {
		name: "test-service",
		version: "1.2.3",
		concurrencyLimit: 4,
		requestLimitBytes: 1_000,
		onRequest: (record) => records.push(record),
		endpoints: [
			endpoint({
				name: "get",
				subject: "t.get",
				request: GetRuleRequestSchema,
				response: GetRuleResponseSchema,
				handle: async ({ name }) => {
					if (name === "missing") throw new SluiceError("not_found", "rule missing does not exist: look");
					if (name === "raced") throw new SluiceError("conflict", "it is at 9", { revision: 9n });
					if (name === "broken") throw new TypeError("secret of the inside");
					if (name === "slow") {
						waiting += 1;
						await new Promise<void>((resolve) => {
							const before = release;
							release = () => {
								before();
								resolve();
							};
						});
					}
					return create(GetRuleResponseSchema, { rule: { name } });
				},
			}),
			endpoint({
				name: "large",
				subject: "t.large",
				request: GetRuleRequestSchema,
				response: ListRulesResponseSchema,
				handle: () => create(ListRulesResponseSchema, { nextPageToken: "x".repeat(100_000) }),
			}),
		],
	});
});
afterAll(async () => {
	await server.stop();
});

const get = (name: string, client = nc) =>
	call(client, "t.get", GetRuleRequestSchema, GetRuleResponseSchema, { name }, TIMEOUT_MS);

async function refusal(work: Promise<unknown>): Promise<[string, string]> {
	return await work.then(
		() => Promise.reject(new Error("it was accepted")),
		(thrown: SluiceError) => [thrown.code, thrown.message],
	);
}

test("a call is answered, and refusals keep code, message and revision over the wire", async () => {
	expect((await get("video")).rule?.name).toBe("video");
	expect(await refusal(get("missing"))).toEqual(["not_found", "rule missing does not exist: look"]);
	const conflict = await get("raced").catch((thrown: SluiceError) => thrown);
	expect(conflict).toMatchObject({ code: "conflict", revision: 9n });
});

test("what breaks inside is internal and shows nothing of it, but the log gets the cause", async () => {
	expect(await refusal(get("broken"))).toEqual([
		"internal",
		"internal error: the log of the service says more",
	]);
	expect(records.at(-1)?.error?.cause).toBeInstanceOf(TypeError);
});

test("headers that are none are refused, and the service goes on", async () => {
	const answers: string[] = [];
	nc.subscribe("_INBOX.raw.>", {
		callback: (_, { headers }) =>
			void answers.push(
				`${headers?.get("Nats-Service-Error-Code")} ${headers?.get("Nats-Service-Error")?.slice(0, 33)}`,
			),
	});
	await nc.flush();
	for (const headers of [["a b: c"], ["\u0001: c"], ["Content-Type: x\ny"]])
		await publishRaw(server.port, { subject: "t.get", headers, reply: "_INBOX.raw.1", payload: "x" });
	await until(() => answers.length === 3);
	expect(answers).toEqual(Array(3).fill("400 the request has malformed headers"));
	expect((await get("video")).rule?.name).toBe("video");
});

test("too long requests and answers are refused", async () => {
	expect((await refusal(get("x".repeat(2_000))))[0]).toBe("too_large");
	expect((await refusal(get("x".repeat(70_000))))[0]).toBe("too_large");
	const large = call(nc, "t.large", GetRuleRequestSchema, ListRulesResponseSchema, {}, TIMEOUT_MS);
	expect(await refusal(large)).toEqual(["too_large", expect.stringContaining("ask for less")]);
});

test("more than the limit at one time is refused, then served again; one client has no more than its share", async () => {
	const other = await server.connect("other");
	const slow = [get("slow"), get("slow"), get("slow")];
	await until(() => waiting === 3);
	expect(await refusal(get("video"))).toEqual(["unavailable", "3 of your requests are under way: try again"]);
	expect((await get("video", other)).rule?.name).toBe("video");
	slow.push(get("slow", other));
	await until(() => waiting === 4);
	expect(await refusal(get("video", other))).toEqual(["unavailable", "4 requests are under way: try again"]);
	release();
	await Promise.all(slow);
	expect((await get("video")).rule?.name).toBe("video");
});

test("nobody there is unavailable, nobody answering is a timeout", async () => {
	const to = (subject: string, timeoutMs: number) =>
		call(nc, subject, GetRuleRequestSchema, GetRuleResponseSchema, {}, timeoutMs);
	expect(await refusal(to("t.nobody", TIMEOUT_MS))).toEqual([
		"unavailable",
		"nobody answers t.nobody: the service is not running",
	]);
	nc.subscribe("t.silent", { callback: () => {} });
	expect(await refusal(to("t.silent", 100))).toEqual(["timeout", "no answer to t.silent in 100 ms"]);
});

test("an answer goes to an inbox and to nothing else, discovery's too", async () => {
	const heard: string[] = [];
	nc.subscribe("t.elsewhere", { callback: (_, message) => void heard.push(message.subject) });
	const before = records.length;
	nc.publish("t.get", '{"name":"video"}', { reply: "t.elsewhere" });
	nc.publish("t.get", '{"name":"missing"}', { reply: "t.elsewhere" });
	for (const verb of ["PING", "INFO", "STATS"] as const)
		nc.publish(discoverySubject(verb), "", { reply: "t.elsewhere" });
	// One after the other on one connection: this comes last.
	await get("last");
	await nc.request(discoverySubject("STATS", "test-service"), "", { timeout: TIMEOUT_MS });
	expect(heard).toEqual([]);
	expect(records).toHaveLength(before + 1);
});

test("a request that wants no answer is handled", async () => {
	const before = records.length;
	nc.publish("t.get", '{"name":"missing"}');
	await get("last");
	expect(records.slice(before).map(({ error }) => error?.code)).toEqual(["not_found", undefined]);
});

test("refusals are counted where $SRV.STATS shows them", async () => {
	const answer = await nc.request(discoverySubject("STATS", "test-service"), "", { timeout: TIMEOUT_MS });
	const stats = answer.json<{
		version: string;
		endpoints: { name: string; data: { errors: number } }[];
	}>();
	expect(stats.version).toBe("1.2.3");
	expect(stats.endpoints.find((each) => each.name === "large")?.data.errors).toBe(1);
});

test("stopping waits for what is under way and answers it", async () => {
	waiting = 0;
	const slow = get("slow");
	await until(() => waiting === 1);
	const stopped = service.stop();
	release();
	expect((await slow).rule?.name).toBe("slow");
	await stopped;
	expect((await refusal(get("video")))[0]).toBe("unavailable");
});
