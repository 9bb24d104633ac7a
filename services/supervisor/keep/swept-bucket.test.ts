import { expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { connectNats } from "@sluice/lib/connect";
import { followHostRecords } from "@sluice/lib/host-records";
import { createLogger } from "@sluice/lib/log";
import { followRules } from "@sluice/lib/stored-rules";
import { startNatsServer } from "@sluice/lib/testing/nats-server";
import { startTcpRelay } from "@sluice/lib/testing/tcp-relay";
import { until } from "@sluice/lib/testing/until";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets, CLUSTER_ID_METADATA, kvSubject, SWEPT_METADATA } from "@sluice/proto/subjects";
import { DesiredState } from "./desired-state.ts";

const log = createLogger({ service: "supervisor", destination: { write: () => {} } }).facility("reconcile");
const metadata = { [CLUSTER_ID_METADATA]: "c1" };
const stored = (name: string) =>
	toBinary(
		StoredRuleSchema,
		create(StoredRuleSchema, {
			uid: `00000000-0000-4000-8000-00000000000${name.length}`,
			rule: {
				name,
				input: { interface: "in0", group: "239.1.1.1", port: 5001 },
				outputs: [{ interface: "out0", address: "239.2.1.1", port: 6001 }],
			},
		}),
	);

test("a host that was away while a rule was removed and swept drops it, at once and after a start; it holds nothing", async () => {
	const server = await startNatsServer();
	const relay = await startTcpRelay(server.port);
	const far = await connectNats({ url: relay.url, name: "relay-a" });
	try {
		const near = await server.connect();
		const [js, jsm] = [jetstream(near), await jetstreamManager(near)];
		for (const bucket of [buckets.rules, buckets.hosts])
			await jsm.streams.add({
				name: `KV_${bucket}`,
				subjects: [kvSubject(bucket, ">")],
				max_msgs_per_subject: 1,
				metadata,
			});
		const put = (name: string) => js.publish(kvSubject(buckets.rules, name), stored(name));
		for (const name of ["stays", "goes"]) await put(name);
		const attached = async (kept?: ReturnType<DesiredState["kept"]>) => {
			const state = new DesiredState({ host: "relay-a", labels: {} }, kept, log);
			const live = { rules: await followRules(far), hosts: await followHostRecords(far, {}) };
			state.attach({ ...live, onLevels: () => {}, record: { touch: () => {} } });
			return { state, live };
		};
		const { state, live } = await attached();
		const desired = (of: DesiredState) =>
			of.desired([{ name: "in0" }] as never).rules.map(({ name }) => name);
		expect(desired(state)).toEqual(["goes", "stays"]);
		const kept = state.kept();
		relay.cut();
		await until(() => !live.rules.current);
		const marker = headers();
		marker.set("KV-Operation", "DEL");
		await js.publish(kvSubject(buckets.rules, "goes"), "", { headers: marker });
		await put("stays");
		const { config } = await jsm.streams.info(`KV_${buckets.rules}`);
		const swept = { ...metadata, [SWEPT_METADATA]: "3" };
		await jsm.streams.update(`KV_${buckets.rules}`, { ...config, metadata: swept });
		await jsm.streams.purge(`KV_${buckets.rules}`, { seq: 4 });
		relay.mend();
		await until(() => live.rules.current);
		expect([desired(state), state.holding]).toEqual([["stays"], ""]);
		const { state: anew } = await attached(kept);
		expect([desired(anew), anew.holding]).toEqual([["stays"], ""]);
	} finally {
		await far.close();
		relay.stop();
		await server.stop();
	}
}, 30_000);
