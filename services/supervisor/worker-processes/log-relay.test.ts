import { expect, test } from "bun:test";
import { markLine, relayLines } from "./log-relay.ts";

const origin = { host: "relay-a", worker: 1, core: 3 };

async function relay(...chunks: string[]): Promise<unknown[]> {
	const lines: unknown[] = [];
	const stream = new ReadableStream<Uint8Array>({
		start(controller) {
			for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
			controller.close();
		},
	});
	await relayLines(stream, origin, (line) => lines.push(JSON.parse(line)));
	return lines;
}

test("JSON lines keep their fields and get host, worker and core", () => {
	expect(JSON.parse(markLine('{"level":"warn","facility":"capture","msg":"x"}', origin))).toEqual({
		level: "warn",
		facility: "capture",
		msg: "x",
		...origin,
	});
});

test("anything else becomes an error line of the runtime", () => {
	expect(JSON.parse(markLine("panic: segmentation fault", origin))).toMatchObject({
		level: "error",
		service: "worker",
		facility: "runtime",
		msg: "panic: segmentation fault",
		...origin,
	});
});

test("lines are put together from chunks, the last one also without an end", async () => {
	expect(await relay('{"msg":"o', 'ne"}\n{"msg":"two"}\n\n{"msg"', ':"three"}')).toMatchObject([
		{ msg: "one" },
		{ msg: "two" },
		{ msg: "three" },
	]);
});

test("a line without end does not grow without limit", async () => {
	const lines = await relay(...Array.from({ length: 20 }, () => "x".repeat(10_000)));
	expect(JSON.stringify(lines).length).toBeLessThan(20_000);
});
