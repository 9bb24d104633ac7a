import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { jetstreamManager } from "@nats-io/jetstream";
import { followHostRecords } from "@sluice/lib/host-records";
import { createLogger } from "@sluice/lib/log";
import { startNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { RuleStatus_State } from "@sluice/proto/gen/rule";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import { followCluster } from "./cluster-view.ts";

test("a record whose reasons fill more than a message is written with short ones: the host is not gone", async () => {
	const server = await startNatsServer({ maxPayload: "64KB" });
	const nc = await server.connect();
	const jsm = await jetstreamManager(nc);
	for (const bucket of [buckets.rules, buckets.hosts, buckets.settings])
		await jsm.streams.add({
			name: `KV_${bucket}`,
			subjects: [kvSubject(bucket, ">")],
			max_msgs_per_subject: 1,
			allow_direct: true,
		});
	const lines: string[] = [];
	const logger = createLogger({
		service: "supervisor",
		destination: { write: (line) => void lines.push(line) },
	});
	const own = { host: "relay-a", installation: "one", incarnation: 7n };
	const exceptions = Array.from({ length: 1_000 }, (_, k) => ({
		name: `rule-${k}`,
		state: RuleStatus_State.FAILED,
		reason: k === 0 ? "short" : `capture on r0: ${"not enough memory ".repeat(6)}`,
	}));
	const record = create(HostRecordSchema, { ...own, atUnixMs: BigInt(Date.now()), exceptions });
	const fail = (error: Error): never => {
		throw error;
	};
	const cluster = await followCluster(
		nc,
		own,
		() => record,
		logger,
		fail,
		() => {},
	);
	const hosts = await followHostRecords(nc, {});
	cluster.record.touch();
	await until(() => hosts.entries.has("relay-a"));
	const stored = hosts.entries.get("relay-a")?.value;
	expect(stored?.exceptions.map(({ name }) => name)).toEqual(exceptions.map(({ name }) => name));
	expect(stored?.exceptions[0]?.reason).toBe("short");
	expect(stored?.exceptions[1]?.reason).toMatch(/^capture on r0: .*…$/);
	expect(stored?.exceptions.every(({ state }) => state === RuleStatus_State.FAILED)).toBe(true);
	expect(lines).toEqual([]);
	await cluster.record.stop();
	hosts.stop();
	cluster.stop();
	await server.stop();
});
