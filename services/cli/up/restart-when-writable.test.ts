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

test("a failed write of a stream starts the server anew, one of what a batch collects does not", async () => {
	let restarts = 0;
	const said: string[] = [];
	const say = (msg: string) => void said.push(msg);
	const restart = async () => {
		restarts += 1;
	};
	const watch = restartWhenWritable(
		() => ({ restart }),
		{ canStore: async () => true },
		{
			info: say,
			warn: say,
			error: say,
		},
	);
	try {
		watch.see(failedWrite("batches/8qUBkyII/msgs/1.blk"));
		expect(said).toEqual([]);
		watch.see(failedWrite("msgs/1.blk"));
		expect(said).toEqual([expect.stringMatching(/^nats-server could not write: /)]);
		await until(() => restarts === 1);
	} finally {
		watch.stop();
	}
});
