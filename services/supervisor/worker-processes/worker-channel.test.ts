import { expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { CommandRefused, WorkerChannel, WorkerGone } from "./worker-channel.ts";

/** Remembers the sequences it was sent. */
function recorder() {
	const sent: number[] = [];
	return { sent, encode: (sequence: bigint) => Uint8Array.of(Number(sequence)) };
}

test("a command ends with its own acknowledgement", async () => {
	const { sent, encode } = recorder();
	const channel = new WorkerChannel(1, (_, message) => {
		sent.push(message[0] ?? 0);
		return "sent";
	});
	const first = channel.command(encode);
	const second = channel.command(encode);
	channel.acknowledge(2n, 0, 0);
	await second;
	channel.acknowledge(1n, 22, 0);
	expect(first).rejects.toEqual(new CommandRefused(22));
	expect(sent).toEqual([1, 2]);
});

test("a full queue is tried again until it takes the message", async () => {
	const { encode } = recorder();
	let attempts = 0;
	const channel = new WorkerChannel(1, () => (++attempts < 3 ? "full" : "sent"));
	const command = channel.command(encode);
	await until(() => attempts === 3);
	channel.acknowledge(1n, 0, 0);
	await command;
});

test("whoever waits learns that the worker is gone, whether by its end or at the send", async () => {
	const { encode } = recorder();
	const dying = new WorkerChannel(1, () => "sent");
	const waiting = dying.command(encode);
	dying.close();
	expect(waiting).rejects.toBeInstanceOf(WorkerGone);
	expect(dying.command(encode)).rejects.toBeInstanceOf(WorkerGone);
	const gone = new WorkerChannel(2, () => "gone");
	expect(gone.command(encode)).rejects.toBeInstanceOf(WorkerGone);
	await gone.room();
});

test("no more than a window of commands is under way", async () => {
	const { encode } = recorder();
	const channel = new WorkerChannel(1, () => "sent");
	const commands: Promise<number>[] = [];
	for (let index = 0; index < 64; index += 1) {
		await channel.room();
		commands.push(channel.command(encode));
	}
	let room = false;
	const waiting = channel.room().then(() => (room = true));
	// Who asks later of another that has room has its answer, and so would this one.
	await new WorkerChannel(2, () => "sent").room();
	expect(room).toBe(false);
	channel.acknowledge(1n, 0, 0);
	await waiting;
	for (let sequence = 2n; sequence <= 64n; sequence += 1n) channel.acknowledge(sequence, 0, 0);
	await Promise.all(commands);
});

test("the age of the oldest unanswered command is known", async () => {
	const { encode } = recorder();
	const channel = new WorkerChannel(1, () => "sent");
	expect(channel.oldestMs(performance.now() + 1_000)).toBe(0);
	const command = channel.command(encode);
	expect(channel.oldestMs(performance.now() + 1_000)).toBeGreaterThanOrEqual(1_000);
	channel.acknowledge(1n, 0, 0);
	await command;
	expect(channel.oldestMs(performance.now() + 1_000)).toBe(0);
});
