import { expect, test } from "bun:test";
import { GetRuleRequestSchema, GetRuleResponseSchema } from "@sluice/proto/gen/rule";
import { call } from "./client.ts";
import { startNatsServer } from "./testing/nats-server.ts";
import { publishRaw } from "./testing/raw-publish.ts";

const denying = `no_auth_user: anybody
authorization { users: [{ user: anybody, password: x, permissions: { publish: { deny: t.denied } } }] }`;

test("an answer that is no message, a subject that is refused, an end: each fails that call and no other", async () => {
	const server = await startNatsServer({ more: denying });
	try {
		const nc = await server.connect("asker");
		const hostile = await server.connect("hostile");
		const malformed = [["a b: c"], ["\u0001: c"], ["Content-Type: x\ny"]];
		for (const [k, headers] of malformed.entries())
			for (const payload of ["", "x"])
				hostile.subscribe(`t.malformed.${k}${payload}`, {
					callback: (_, { reply = "" }) => void publishRaw(server.port, { subject: reply, headers, payload }),
				});
		hostile.subscribe("t.sound", { callback: (_, message) => void message.respond() });
		hostile.subscribe("t.silent", { callback: () => {} });
		await hostile.flush();
		const ask = (subject: string) =>
			call(nc, subject, GetRuleRequestSchema, GetRuleResponseSchema, {}, 30_000).then(
				() => "answered",
				({ code }) => code,
			);
		const silent = ask("t.silent");
		for (const k of malformed.keys())
			for (const payload of ["", "x"]) expect(await ask(`t.malformed.${k}${payload}`)).toBe("internal");
		expect(await ask("t.denied")).toBe("forbidden");
		expect(await ask("t.sound")).toBe("answered");
		await nc.close();
		expect(await silent).toBe("unavailable");
		expect(await ask("t.sound")).toBe("unavailable");
	} finally {
		await server.stop();
	}
});
