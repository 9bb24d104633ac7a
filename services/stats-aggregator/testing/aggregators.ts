import { expect } from "bun:test";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { type JetStreamManager, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { type NatsConnection, nkeys } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import {
	GetStatsRequestSchema,
	type GetStatsResponse,
	GetStatsResponseSchema,
	WorkerCountersSchema,
} from "@sluice/proto/gen/stats";
import {
	buckets,
	countersStream,
	countersSubject,
	countersSubjects,
	kvSubject,
	requests,
} from "@sluice/proto/subjects";
import { R1, type Reading, uid, workerCounters } from "./counters.ts";

/** Of what is answered: a loaded machine takes its time. */
export const ANSWER_LIMIT_MS = 20_000;

/** A real nats-server with a rule named video, and any number of aggregators as processes. */
export class TestAggregators {
	readonly server: TestNatsServer;
	readonly nc: NatsConnection;
	readonly jsm: JetStreamManager;
	readonly #processes: Bun.Subprocess<"pipe", "ignore", "pipe">[] = [];

	private constructor(server: TestNatsServer, nc: NatsConnection, jsm: JetStreamManager) {
		this.server = server;
		this.nc = nc;
		this.jsm = jsm;
	}

	static async open(): Promise<TestAggregators> {
		const server = await startNatsServer();
		const nc = await server.connect("control-api");
		const all = new TestAggregators(server, nc, await jetstreamManager(nc));
		for (const bucket of Object.values(buckets)) {
			await all.jsm.streams.add({
				name: `KV_${bucket}`,
				subjects: [kvSubject(bucket, ">")],
				max_msgs_per_subject: 1,
				allow_direct: true,
			});
		}
		await all.addCountersStream();
		await all.putRule("video", 1);
		return all;
	}

	async close(): Promise<void> {
		for (const child of this.#processes.splice(0)) {
			child.stdin.end();
			expect(await child.exited).toBe(0);
		}
		await this.server.stop();
	}

	async addCountersStream(): Promise<void> {
		await this.jsm.streams.add({
			name: countersStream,
			subjects: [countersSubjects],
			max_msgs_per_subject: 1,
			storage: StorageType.Memory,
		});
	}

	async put(bucket: string, key: string, value: Uint8Array): Promise<void> {
		await this.nc.request(kvSubject(bucket, key), value, { timeout: ANSWER_LIMIT_MS });
	}

	async putRule(name: string, number: number): Promise<void> {
		const outputs = [{ interface: R1.interface, address: R1.address, port: R1.port }];
		const input = { interface: "r0", group: "239.1.1.1", port: 5001 };
		const stored = create(StoredRuleSchema, { uid: uid(number), rule: { name, input, outputs } });
		await this.put(buckets.rules, name, toBinary(StoredRuleSchema, stored));
	}

	/** Its supervisor's word that this is the host's run, with two workers. */
	async begin(host: string, incarnation: bigint): Promise<void> {
		const workers = [{ worker: 0 }, { worker: 1 }];
		const record = create(HostRecordSchema, { host, incarnation, workers });
		await this.put(buckets.hosts, host, toBinary(HostRecordSchema, record));
	}

	publish(reading: Reading): void {
		const message = workerCounters(reading);
		this.nc.publish(
			countersSubject(message.host, message.worker, message.chunk),
			toBinary(WorkerCountersSchema, message),
		);
	}

	/** Starts the real process, as `up` does. */
	async spawn(logLevel = "info"): Promise<Bun.Subprocess<"pipe", "ignore", "pipe">> {
		const child = Bun.spawn([process.execPath, join(import.meta.dir, "../main.ts")], {
			stdio: ["pipe", "ignore", "pipe"],
		});
		const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
		const config = {
			service: "stats-aggregator",
			hostId: "relay-a",
			incarnation: "100",
			natsUrl: this.server.url,
			credentials: { kind: "nkey", seed },
			logLevel,
		};
		child.stdin.write(`${JSON.stringify(config)}\n`);
		await child.stdin.flush();
		return child;
	}

	/** The same, and waits until it serves. Answers what it has logged by then. */
	async start(logLevel = "info"): Promise<() => string> {
		const child = await this.spawn(logLevel);
		this.#processes.push(child);
		let log = "";
		const ready = Promise.withResolvers<void>();
		void (async () => {
			for await (const bytes of child.stderr) {
				log += new TextDecoder().decode(bytes);
				if (log.includes('"ready":true')) ready.resolve();
			}
			ready.reject(new Error(`it ended: ${log}`));
		})();
		await ready.promise;
		return () => log;
	}

	/** Kills the one that was started last, and waits until nats-server sends it no questions any more. */
	async kill(): Promise<void> {
		const child = this.#processes.pop();
		child?.kill("SIGKILL");
		await child?.exited;
		await until(async () => (await this.#connected()) === this.#processes.length);
	}

	/** Stops the one that was started last, in order. */
	async stop(): Promise<void> {
		const child = this.#processes.pop();
		child?.kill("SIGTERM");
		expect(await child?.exited).toBe(0);
	}

	/** How many nats-server has a connection of. */
	async #connected(): Promise<number> {
		const options = { timeout: ANSWER_LIMIT_MS };
		const answer = await this.nc.request("$SYS.REQ.ACCOUNT.PING.CONNZ", "", options);
		const { connections } = answer.json<{ data: { connections: { name: string }[] } }>().data;
		return connections.filter(({ name }) => name === "stats-aggregator").length;
	}

	/** @param timeoutMs a request sent while the connection is away is lost, so those that are repeated give up soon. */
	async getStats(names: string[] = [], timeoutMs = ANSWER_LIMIT_MS): Promise<GetStatsResponse> {
		const { nc } = this;
		return call(nc, requests.statsGet, GetStatsRequestSchema, GetStatsResponseSchema, { names }, timeoutMs);
	}

	/** By the rule named video. */
	async received(timeoutMs?: number): Promise<bigint | undefined> {
		return (await this.getStats(["video"], timeoutMs)).rules[0]?.receivedPackets;
	}
}
