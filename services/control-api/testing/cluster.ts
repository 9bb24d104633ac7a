import { afterAll } from "bun:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type KV, Kvm } from "@nats-io/kv";
import { headers, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import type { SluiceError } from "@sluice/lib/errors";
import { createLogger, type ServiceLogger } from "@sluice/lib/log";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import {
	ApplyRequestSchema,
	ApplyResponseSchema,
	GetRuleRequestSchema,
	GetRuleResponseSchema,
	ListRulesRequestSchema,
	ListRulesResponseSchema,
	PutRuleRequestSchema,
	PutRuleResponseSchema,
	RemoveRuleRequestSchema,
	RemoveRuleResponseSchema,
	type RuleSchema,
} from "@sluice/proto/gen/rule";
import { buckets, requests } from "@sluice/proto/subjects";
import { type ControlApiOptions, type RunningControlApi, startControlApi } from "../control-api.ts";

export type RuleInit = MessageInitShape<typeof RuleSchema>;

const TIMEOUT_MS = 20_000;

/** A rule that is right: r0:GROUP:5001 to r1:239.10.1.1:6001. */
export function exampleRule(name: string, group = "239.1.1.1", more: Partial<RuleInit> = {}): RuleInit {
	return {
		name,
		input: { interface: "r0", group, port: 5001 },
		outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
		...more,
	} as RuleInit;
}

/** Distinct rules that go together. */
export function manyRules(count: number, prefix = "rule"): RuleInit[] {
	return Array.from({ length: count }, (_, k) =>
		exampleRule(`${prefix}-${String(k).padStart(5, "0")}`, `239.1.${k >> 8}.${k & 255}`),
	);
}

/** Why it failed; @throws when it did not. */
export async function refusal(work: Promise<unknown>): Promise<SluiceError> {
	return await work.then(
		() => Promise.reject(new Error("it was accepted")),
		(thrown: SluiceError) => thrown,
	);
}

export function quietLogger(): ServiceLogger {
	return createLogger({ service: "control-api", level: "error", destination: { write() {} } });
}

/** A nats-server with any number of control-apis and the requests of a client. */
export class TestCluster {
	readonly server: TestNatsServer;
	readonly nc: NatsConnection;
	readonly #apis: { readonly api: RunningControlApi; readonly nc: NatsConnection }[] = [];

	private constructor(server: TestNatsServer, nc: NatsConnection) {
		this.server = server;
		this.nc = nc;
	}

	/** @param more lines of the server's configuration. */
	static async start(more = ""): Promise<TestCluster> {
		const server = await startNatsServer({ more });
		return new TestCluster(server, await server.connect("operator"));
	}

	async startApi({
		logger = quietLogger(),
		...options
	}: ControlApiOptions & { readonly logger?: ServiceLogger } = {}): Promise<RunningControlApi> {
		const nc = await this.server.connect();
		const api = await startControlApi(nc, logger, options);
		this.#apis.push({ api, nc });
		return api;
	}

	async stopApis(): Promise<void> {
		await Promise.all(this.#apis.splice(0).map(({ api, nc }) => api.stop().then(() => nc.close())));
	}

	async stop(): Promise<void> {
		await this.stopApis();
		await this.server.stop();
	}

	put(rule: RuleInit, expectedRevision?: bigint) {
		return call(
			this.nc,
			requests.rulePut,
			PutRuleRequestSchema,
			PutRuleResponseSchema,
			expectedRevision === undefined ? { rule } : { rule, expectedRevision },
			TIMEOUT_MS,
		);
	}

	get(name: string) {
		return call(this.nc, requests.ruleGet, GetRuleRequestSchema, GetRuleResponseSchema, { name }, TIMEOUT_MS);
	}

	list(pageSize = 0, pageToken = "") {
		return call(
			this.nc,
			requests.ruleList,
			ListRulesRequestSchema,
			ListRulesResponseSchema,
			{ pageSize, pageToken },
			TIMEOUT_MS,
		);
	}

	remove(name: string, expectedRevision?: bigint) {
		return call(
			this.nc,
			requests.ruleRemove,
			RemoveRuleRequestSchema,
			RemoveRuleResponseSchema,
			expectedRevision === undefined ? { name } : { name, expectedRevision },
			TIMEOUT_MS,
		);
	}

	apply(request: MessageInitShape<typeof ApplyRequestSchema>, subject: string = requests.ruleApply) {
		return call(this.nc, subject, ApplyRequestSchema, ApplyResponseSchema, request, 30_000);
	}

	/** A request as a shell would send it. */
	raw(subject: string, payload: string | Uint8Array, contentType?: string): Promise<Msg> {
		const sent = headers();
		if (contentType !== undefined) sent.set("Content-Type", contentType);
		return this.nc.request(subject, payload, { timeout: TIMEOUT_MS, headers: sent });
	}

	/** Writes a host's record, as its supervisor would. */
	async writeHost(
		record: MessageInitShape<typeof HostRecordSchema> & { readonly host: string },
	): Promise<void> {
		const bucket: KV = await new Kvm(this.nc).open(buckets.hosts);
		await bucket.put(record.host, toBinary(HostRecordSchema, create(HostRecordSchema, record)));
	}
}

/** With one control-api, for all tests of the file that asks for it. */
export async function servingCluster(): Promise<TestCluster> {
	const cluster = await TestCluster.start();
	afterAll(() => cluster.stop());
	await cluster.startApi();
	return cluster;
}
