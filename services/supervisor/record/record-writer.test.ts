import { afterEach, expect, setSystemTime, test } from "bun:test";
import { RecordWriter } from "./record-writer.ts";

function make() {
	const written: number[] = [];
	const troubles: unknown[] = [];
	const writer = { state: 0, refuse: false, attempts: 0, gate: Promise.resolve() };
	const record = new RecordWriter({
		encode: () => Uint8Array.of(writer.state),
		write: async ([state = -1]) => {
			writer.attempts += 1;
			await writer.gate;
			if (writer.refuse) throw new Error("refused");
			written.push(state);
		},
		onTrouble: (thrown) => troubles.push(thrown),
	});
	return { record, written, troubles, writer };
}

afterEach(() => setSystemTime());

async function until(condition: () => boolean): Promise<void> {
	const deadline = Date.now() + 10_000;
	while (!condition()) {
		if (Date.now() > deadline) throw new Error("did not happen");
		await Bun.sleep(1);
	}
}

test("a change after a quiet time is written at once, those that follow together", async () => {
	const { record, written, writer } = make();
	for (writer.state = 1; writer.state < 50; writer.state += 1) record.touch();
	expect(writer.attempts).toBe(1);
	await until(() => written.length === 2);
	expect(written).toEqual([1, 50]);
	await record.stop();
});

test("a change during a write is written after it: the last state always arrives", async () => {
	const { record, written, writer } = make();
	const hold = Promise.withResolvers<void>();
	writer.gate = hold.promise;
	record.touch();
	writer.state = 7;
	record.touch();
	hold.resolve();
	await until(() => written.includes(7));
	expect(written).toEqual([0, 7]);
	await record.stop();
});

test("a clock that is set back an hour delays no change", async () => {
	const { record, written, writer } = make();
	record.touch();
	await until(() => written.length === 1);
	setSystemTime(new Date(Date.now() - 3_600_000));
	writer.state = 1;
	record.touch();
	await until(() => written.includes(1));
	await record.stop();
});

test("without any change it is written again as a heartbeat", async () => {
	const { record, written } = make();
	record.touch();
	await until(() => written.length >= 2);
	await record.stop();
});

test("a failing write is reported once, tried again, and reported when it succeeds", async () => {
	const { record, written, troubles, writer } = make();
	writer.refuse = true;
	record.touch();
	await until(() => troubles.length === 1);
	// With the third attempt the second is over.
	await until(() => {
		record.touch();
		return writer.attempts >= 3;
	});
	expect(troubles).toHaveLength(1);
	writer.refuse = false;
	record.touch();
	await until(() => written.length === 1);
	expect(troubles).toEqual([new Error("refused"), undefined]);
	await record.stop();
});

test("what could not be written is written before the next heartbeat", async () => {
	const { record, written, troubles, writer } = make();
	writer.refuse = true;
	record.touch();
	await until(() => troubles.length === 1);
	writer.refuse = false;
	const refusedMs = performance.now();
	await until(() => written.length === 1);
	expect(performance.now() - refusedMs).toBeLessThan(1_500);
	await record.stop();
});

test("stopping writes the last state, and nothing after it", async () => {
	const { record, written, writer } = make();
	record.touch();
	writer.state = 9;
	await record.stop();
	record.touch();
	// Time enough for a write that must not come.
	await Bun.sleep(30);
	expect(written.at(-1)).toBe(9);
});
