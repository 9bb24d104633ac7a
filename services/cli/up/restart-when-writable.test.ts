import { expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { restartWhenWritable } from "./restart-when-writable.ts";

/** @param file of the stream of rules. */
const failedWrite = (file: string) => ({
	level: "error",
	time: 0,
	service: "nats-server",
	facility: "server",
	msg: `Filestore [8qUBkyII] Critical write error: write jetstream/SLUICE/streams/KV_sluice_rules/${file}: no space left on device`,
});

/** What is said, and how often the server was started anew. */
function watching(canStore: () => Promise<boolean>) {
	const said: string[] = [];
	const say = (msg: string) => void said.push(msg);
	const seen = { said, restarts: 0 };
	const restart = async () => {
		seen.restarts += 1;
	};
	const log = { info: say, warn: say, error: say };
	return { seen, watch: restartWhenWritable(() => ({ restart }), { canStore }, log) };
}

test("a failed write of a stream starts the server anew, one of what a batch collects does not", async () => {
	const { seen, watch } = watching(async () => true);
	try {
		watch.see(failedWrite("batches/8qUBkyII/msgs/1.blk"));
		expect(seen.said).toEqual([]);
		watch.see(failedWrite("msgs/1.blk"));
		expect(seen.said).toEqual([expect.stringMatching(/^nats-server could not write: /)]);
		await until(() => seen.restarts === 1);
	} finally {
		watch.end();
	}
});

test("once it has ended it starts nothing, whatever was or is seen", async () => {
	const asked = Promise.withResolvers<void>();
	const room = Promise.withResolvers<boolean>();
	const { seen, watch } = watching(() => {
		asked.resolve();
		return room.promise;
	});
	watch.see(failedWrite("msgs/1.blk"));
	await asked.promise;
	watch.end();
	room.resolve(true);
	watch.see(failedWrite("msgs/2.blk"));
	await Bun.sleep(0);
	expect(seen).toEqual({ restarts: 0, said: [expect.stringMatching(/^nats-server could not write: /)] });
});
