import { create } from "@bufbuild/protobuf";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { openStorage } from "../nats/storage.ts";
import type { Write } from "../rules/plan.ts";
import { manyRules } from "./cluster.ts";

/** A nats-server with the bucket of rules, and nobody else who writes it. */
export class RuleStore {
	private constructor(
		readonly server: TestNatsServer,
		readonly nc: NatsConnection,
	) {}

	static async start(): Promise<RuleStore> {
		const server = await startNatsServer();
		const nc = await server.connect();
		await openStorage(nc, undefined);
		return new RuleStore(server, nc);
	}

	async state(): Promise<{ last: bigint; messages: number }> {
		const jsm = await jetstreamManager(this.nc);
		const { last_seq, messages } = (await jsm.streams.info("KV_sluice_rules")).state;
		return { last: BigInt(last_seq), messages };
	}

	async stop(): Promise<void> {
		await this.server.stop();
	}
}

/** Of rules that are not there yet. */
export function writes(count: number, prefix: string): Write[] {
	return manyRules(count, prefix).map((rule) => ({
		name: rule.name ?? "",
		stored: create(StoredRuleSchema, { rule, uid: "u" }),
		previous: undefined,
	}));
}
