import { afterEach, expect, jest, setSystemTime, test } from "bun:test";
import { pass } from "@sluice/lib/testing/clock";
import { until } from "@sluice/lib/testing/until";
import { RecordWriter } from "./record-writer.ts";

function make() {
	const written: number[] = [];
	const troubles: unknown[] = [];
	const writer = { state: 0, refuse: false, attempts: 0, gate: Promise.resolve() };
	const record = new RecordWriter({
		encode: () => Uint8Array.of(writer.state),
		untilHeartbeatMs: () => 2_000,
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

afterEach(() => {
	jest.useRealTimers();
	setSystemTime();
});

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
	jest.useFakeTimers();
	const { record, written } = make();
	record.touch();
	await pass(0);
	await pass(1_999);
	expect(written).toHaveLength(1);
	await pass(1);
	expect(written).toHaveLength(2);
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
	jest.useFakeTimers();
	const { record, written, troubles, writer } = make();
	writer.refuse = true;
	record.touch();
	await pass(0);
	expect([troubles.length, written.length]).toEqual([1, 0]);
	writer.refuse = false;
	await pass(1_500);
	expect(written).toHaveLength(1);
	await record.stop();
});

test("stopping writes the last state, and nothing after it", async () => {
	jest.useFakeTimers();
	const { record, written, writer } = make();
	record.touch();
	writer.state = 9;
	await record.stop();
	writer.state = 10;
	record.touch();
	await pass(60_000);
	expect(written).toEqual([0, 9]);
});
