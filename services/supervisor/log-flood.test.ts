import { expect, test } from "bun:test";
import { createLogger } from "@sluice/lib/log";
import { until } from "@sluice/lib/testing/until";
import { LogFlood } from "./log-flood.ts";

interface Line {
	readonly msg: string;
	readonly changes?: number;
	readonly last?: readonly string[];
}

function flood(restMs: number): { lines: Line[]; say: LogFlood["say"] } {
	const lines: Line[] = [];
	const destination = { write: (line: string) => lines.push(JSON.parse(line)) };
	const log = createLogger({ service: "test", destination }).facility("interfaces");
	const flood = new LogFlood(log, "interfaces", { lines: 3, restMs });
	return { lines, say: (subject, text) => flood.say(subject, text) };
}

test("the first changes are a line each; of all others the next line says how many, and how they ended", async () => {
	const { lines, say } = flood(500);
	for (let k = 0; k < 1_000; k += 1) {
		say("r0", `r0 is ${k % 2 === 0 ? "down" : "up"}`);
		if (k === 500) say("r1", "r1 is gone");
	}
	await until(() => lines.length > 3);
	expect(lines.slice(0, 3).map(({ msg }) => msg)).toEqual(["r0 is down", "r0 is up", "r0 is down"]);
	expect(lines[3]).toMatchObject({
		msg: "interfaces changed too often to tell each time",
		changes: 998,
		last: ["r1 is gone", "r0 is up"],
	});
});

test("a flood that lasts is some lines in each interval, and every change is told or counted", async () => {
	const { lines, say } = flood(50);
	const startMs = performance.now();
	let said = 0;
	await until(() => {
		for (let k = 0; k < 20; k += 1) {
			said += 1;
			say(`veth${said}`, `veth${said} appeared, up`);
		}
		return performance.now() - startMs > 500;
	});
	const whole = said;
	await until(() => lines.reduce((sum, { changes }) => sum + (changes ?? 1), 0) === whole);
	const intervals = (performance.now() - startMs) / 50;
	expect(lines.length).toBeLessThan(3 + 2 * intervals + 1);
	expect(Math.max(...lines.map(({ last }) => last?.length ?? 0))).toBe(20);
});

test("what changes seldom is told each time, after a flood too", async () => {
	const { lines, say } = flood(20);
	for (let k = 0; k < 10; k += 1) say("r0", "r0 is down");
	for (let k = 0; k < 4; k += 1) {
		const sinceMs = performance.now();
		await until(() => performance.now() - sinceMs > 25);
		say("r0", `r0 is up ${k}`);
	}
	const told = lines.flatMap(({ msg }) => (msg.includes("up") ? [msg] : []));
	expect(told).toEqual(["r0 is up 0", "r0 is up 1", "r0 is up 2", "r0 is up 3"]);
});
