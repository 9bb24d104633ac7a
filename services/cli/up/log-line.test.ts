import { describe, expect, test } from "bun:test";
import { humanLine, parseNatsLine, parseRecord, wrapLine } from "./log-line.ts";

describe("log lines", () => {
	test("a record is recognised, anything else is not", () => {
		const line = '{"level":"info","time":1,"service":"supervisor","facility":"netlink","msg":"up"}';
		expect(parseRecord(line)?.service).toBe("supervisor");
		for (const other of ["{", "plain text", '{"level":30,"msg":"x"}', "[]", '{"msg":"x"}', ""]) {
			expect(parseRecord(other)).toBeUndefined();
		}
	});

	test("what is no record is wrapped whole", () => {
		const wrapped = wrapLine("worker", "relay-a", 'panic: "oh"', 7);
		expect(JSON.parse(JSON.stringify(wrapped))).toEqual({
			level: "warn",
			time: 7,
			service: "worker",
			host: "relay-a",
			facility: "stderr",
			msg: 'panic: "oh"',
		});
	});

	test("nats-server's own lines get their level, and others are wrapped", () => {
		const at = "[13632] 2026/11/21 09:08:28.394362";
		expect(parseNatsLine("a", `${at} [INF] Server is ready`, 1)).toMatchObject({
			level: "debug",
			service: "nats-server",
			msg: "Server is ready",
		});
		expect(parseNatsLine("a", `${at} [FTL] Error listening on port`, 1).level).toBe("error");
		expect(parseNatsLine("a", "nats-server: bad configuration", 1)).toMatchObject({ facility: "stderr" });
	});

	test("a line for a terminal cannot steer it", () => {
		const record = {
			level: "info",
			time: 0,
			service: "s",
			facility: "f",
			msg: "a\u001b[2Jb",
			more: "c\u009bd\n",
		};
		expect(humanLine(record)).toEndWith("s/f: a\ufffd[2Jb more=c\ufffdd\ufffd");
	});

	test("somebody at a terminal reads time, level, place, text and the rest", () => {
		const record = {
			level: "warn",
			time: 0,
			service: "up",
			host: "h",
			facility: "keeper",
			msg: "ended",
			waitMs: 250,
		};
		expect(humanLine(record)).toMatch(/^\d\d:\d\d:00 WARN {2}up\/keeper: ended waitMs=250$/);
	});
});
