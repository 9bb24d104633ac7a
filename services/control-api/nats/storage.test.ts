import { afterAll, beforeAll, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { DiscardPolicy, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { followRules } from "@sluice/lib/stored-rules";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import { checkServer, isAtLeast, openStorage } from "./storage.ts";

let server: TestNatsServer;
let nc: NatsConnection;
beforeAll(async () => {
	server = await startNatsServer();
	nc = await server.connect();
});
afterAll(async () => {
	await server.stop();
});

test("what is missing is created, by several at once too, and keeps its cluster id", async () => {
	const opened = await Promise.all(Array.from({ length: 4 }, () => openStorage(nc, undefined)));
	const [first] = opened;
	expect(first?.clusterId).toMatch(/^[0-9a-f-]{36}$/);
	expect(new Set(opened.map((storage) => storage.clusterId)).size).toBe(1);
	const jsm = await jetstreamManager(nc);
	const rules = (await jsm.streams.info("KV_sluice_rules")).config;
	expect([rules.storage, rules.max_msgs_per_subject]).toEqual([StorageType.File, 1]);
	expect(rules.metadata?.["sluice_cluster_id"]).toBe(first?.clusterId ?? "");
	const counters = (await jsm.streams.info("sluice_counters")).config;
	expect([counters.storage, counters.max_msgs_per_subject]).toEqual([StorageType.Memory, 1]);
	expect((await openStorage(nc, undefined)).clusterId).toBe(first?.clusterId ?? "");
});

test("the bucket of rules says which protocol the cluster speaks; a later one is refused", async () => {
	const jsm = await jetstreamManager(nc);
	const stamp = async (version: string) => {
		const { config } = await jsm.streams.info("KV_sluice_rules");
		const metadata = { ...config.metadata, sluice_protocol: version };
		await jsm.streams.update("KV_sluice_rules", { ...config, metadata });
	};
	const stamped = async () =>
		(await jsm.streams.info("KV_sluice_rules")).config.metadata?.["sluice_protocol"];
	expect(await stamped()).toBe("2");
	const { clusterId } = await openStorage(nc, undefined);
	await stamp("1");
	expect((await openStorage(nc, undefined)).clusterId).toBe(clusterId);
	expect(await stamped()).toBe("2");
	await stamp("3");
	await expect(openStorage(nc, undefined)).rejects.toThrow(
		"the cluster speaks protocol 3 and this control-api 2: bring it up to the cluster",
	);
	expect(await stamped()).toBe("3");
	await stamp("2");
});

test("a bucket that lost its end is swept no longer, or what is written next would be no more", async () => {
	const jsm = await jetstreamManager(nc);
	const stamped = async () => (await jsm.streams.info("KV_sluice_rules")).config.metadata?.["sluice_swept"];
	const { config } = await jsm.streams.info("KV_sluice_rules");
	await jsm.streams.update("KV_sluice_rules", {
		...config,
		metadata: { ...config.metadata, sluice_swept: "3" },
	});
	await openStorage(nc, undefined);
	expect(await stamped()).toBeUndefined();
	const snapshot = await followRules(nc);
	for (const name of ["a", "b", "c", "d"])
		await jetstream(nc).publish(
			kvSubject(buckets.rules, name),
			toBinary(StoredRuleSchema, create(StoredRuleSchema, { uid: name })),
		);
	await until(() => snapshot.lastSequence === 4n);
	snapshot.stop();
	expect([...(await followRules(nc)).entries.keys()]).toEqual(["a", "b", "c", "d"]);
});

test("counters are acknowledged to nobody, whatever reply subject they name, after an update too", async () => {
	const jsm = await jetstreamManager(nc);
	await jsm.streams.update("sluice_counters", { no_ack: false });
	const heard: string[] = [];
	nc.subscribe("elsewhere", { callback: (_, message) => void heard.push(message.string()) });
	const publish = async () => {
		nc.publish("sluice.v1.counters.relay-a.0", "x", { reply: "elsewhere" });
		// The stream answers in order: an acknowledgement would stand before this.
		await jsm.streams.info("sluice_counters");
		await nc.flush();
	};
	await publish();
	await until(() => heard.length === 1);
	await openStorage(nc, undefined);
	await publish();
	expect(heard).toHaveLength(1);
	expect((await jsm.streams.info("sluice_counters")).state.last_seq).toBe(2);
});

test("counters take no more memory than is theirs, after an update too: hosts' records fit beside them", async () => {
	const jsm = await jetstreamManager(nc);
	await jsm.streams.update("sluice_counters", { max_bytes: -1 });
	await openStorage(nc, undefined);
	const before = (await jsm.streams.info("sluice_counters")).state.last_seq;
	const junk = new Uint8Array(3_900_000);
	for (let k = 0; k < 70; k++) {
		nc.publish(`sluice.v1.counters.relay-b.junk${k}`, junk);
		if (k % 10 === 9) await nc.flush();
	}
	await until(async () => (await jsm.streams.info("sluice_counters")).state.last_seq === before + 70);
	const { state } = await jsm.streams.info("sluice_counters");
	// `up` gives JetStream 512 MB of memory.
	expect(state.bytes).toBeLessThanOrEqual(256_000_000);
	await jsm.streams.purge("sluice_counters");
});

test("kept figures leave half of the disk to the rules, after an update of the cluster too", async () => {
	const jsm = await jetstreamManager(nc);
	const limits = async () => {
		const { config } = await jsm.streams.info("KV_sluice_figures");
		const { max_bytes, max_msgs, discard, allow_rollup_hdrs, allow_msg_ttl } = config;
		return [max_bytes, max_msgs, discard, allow_rollup_hdrs, allow_msg_ttl];
	};
	// `up` gives JetStream 4 GB of disk. What is there must not go for what is new.
	const wanted = [2_000_000_000, 576_000, DiscardPolicy.New, false, true];
	await openStorage(nc, undefined);
	expect(await limits()).toEqual(wanted);
	const { config } = await jsm.streams.info("KV_sluice_figures");
	await jsm.streams.delete("KV_sluice_figures");
	const { allow_msg_ttl: _, ...before } = config;
	await jsm.streams.add({ ...before, max_bytes: -1, max_msgs: -1 });
	await openStorage(nc, undefined);
	expect(await limits()).toEqual(wanted);
});

test("no host can take others' records out of the bucket, after an update of the cluster too", async () => {
	const jsm = await jetstreamManager(nc);
	const { config } = await jsm.streams.info("KV_sluice_hosts");
	await jsm.streams.update("KV_sluice_hosts", { ...config, allow_rollup_hdrs: true });
	await openStorage(nc, undefined);
	await nc.request(kvSubject(buckets.hosts, "relay-a"), "one", { timeout: 20_000 });
	const all = headers();
	all.set("Nats-Rollup", "all");
	const answer = await nc.request(kvSubject(buckets.hosts, "relay-b"), "two", {
		headers: all,
		timeout: 20_000,
	});
	expect(answer.json<{ error?: { description: string } }>().error?.description).toBe("rollup not permitted");
	expect((await jsm.streams.info("KV_sluice_hosts")).state.messages).toBe(1);
});

test("the bucket of another cluster is refused", async () => {
	await expect(openStorage(nc, "another")).rejects.toThrow("bucket sluice_rules belongs to cluster");
});

test("versions compare by their numbers", () => {
	expect(isAtLeast("2.10.27", "2.10.27")).toBe(true);
	expect(isAtLeast("2.11.0-RC.1", "2.10.27")).toBe(true);
	expect(isAtLeast("3.0.0", "2.10.27")).toBe(true);
	expect(isAtLeast("2.9.99", "2.10.27")).toBe(false);
	expect(isAtLeast("2.10.9", "2.10.27")).toBe(false);
	expect(isAtLeast("unknown", "2.10.27")).toBe(false);
});

test("a server that is too old is refused with both versions", () => {
	const old = { info: { version: "2.9.10", max_payload: 4_000_000 } } as NatsConnection;
	expect(() => checkServer(old)).toThrow("nats-server 2.9.10 is too old: install 2.10.27 or newer");
});
