import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { BucketSnapshot, SnapshotChange, SnapshotEntry } from "@sluice/lib/kv-snapshot";
import { createLogger } from "@sluice/lib/log";
import { KeptDesiredSchema } from "@sluice/proto/gen/cluster";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import { type StoredRule, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { CLUSTER_ID_METADATA } from "@sluice/proto/subjects";
import { DesiredState } from "./desired-state.ts";

const log = createLogger({ service: "supervisor", destination: { write: () => {} } }).facility("reconcile");
const video = (address: string) =>
	create(StoredRuleSchema, {
		uid: "00000000-0000-4000-8000-000000000001",
		rule: {
			name: "video",
			input: { interface: "in0", group: "239.1.1.1", port: 5001 },
			outputs: [{ interface: "out0", address }],
		},
	});
const rule = video("239.2.1.1");

/** A bucket that was created then, by one cluster and server. */
class Bucket<Value> {
	readonly entries = new Map<string, SnapshotEntry<Value>>();
	readonly lastSequence = 1n;
	readonly stream: BucketSnapshot<Value>["stream"];
	#listener: (change: SnapshotChange<Value>) => void = () => {};

	constructor(created: string, clusterId: string) {
		this.stream = { created, metadata: { [CLUSTER_ID_METADATA]: clusterId }, damaged: false };
	}

	with(key: string, value: Value): this {
		const entry = { value, revision: 1n, writtenUnixMs: 0 };
		this.entries.set(key, entry);
		this.#listener({ key, entry, previous: undefined, revision: 1n });
		return this;
	}

	onChange(callback: (change: SnapshotChange<Value>) => void): () => void {
		this.#listener = callback;
		return () => {};
	}
}

/** What relay-a, that has in0, makes of the rule: with relay-b kept from the bucket of then, and this one now. */
function heldBy(hosts: Bucket<HostRecord>, clusterId = "c1"): string | undefined {
	const kept = create(KeptDesiredSchema, {
		clusterId: "c1",
		created: "then",
		sequence: 1n,
		rules: [{ stored: rule, revision: 1n }],
		hosts: [{ host: "relay-b", interfaces: ["in0"], created: "then" }],
	});
	const state = new DesiredState({ host: "relay-a", labels: {} }, kept, log);
	const rules = new Bucket<StoredRule>("then", clusterId).with("video", rule);
	state.attach({ rules, hosts, onLevels: () => {}, record: { touch: () => {} } } as never);
	const links = [{ name: "in0" }] as never;
	return state.desired(links).rules[0]?.held;
}

const waits = "hosts relay-a, relay-b match: name one, or all";

test("a rule without hosts does not move because nats-server has lost the other host's record", () => {
	expect(heldBy(new Bucket("now", "c1"))).toBe(waits);
});

test("a host that was forgotten meanwhile is, and so are those of another cluster", () => {
	expect(heldBy(new Bucket("then", "c1"))).toBeUndefined();
	expect(heldBy(new Bucket("now", "c2"), "c2")).toBeUndefined();
	const back = new Bucket<HostRecord>("then", "c1");
	const interfaces = [{ name: "in0" }];
	back.with("relay-b", create(HostRecordSchema, { host: "relay-b", interfaces }));
	expect(heldBy(back)).toBe(waits);
});

test("of another bucket with every name it says which rules it knew otherwise", () => {
	const lines: string[] = [];
	const destination = { write: (line: string) => void lines.push(line) };
	const listening = createLogger({ service: "supervisor", destination }).facility("reconcile");
	const known = { clusterId: "c1", created: "then", sequence: 1n };
	const follow = (bucket: Bucket<StoredRule>) => {
		const kept = create(KeptDesiredSchema, { ...known, rules: [{ stored: rule, revision: 1n }] });
		const state = new DesiredState({ host: "relay-a", labels: {} }, kept, listening);
		const hosts = new Bucket<HostRecord>("then", "c1");
		state.attach({ rules: bucket, hosts, onLevels: () => {}, record: { touch: () => {} } } as never);
		expect(state.holding).toBe("");
	};
	const other = video("239.2.1.9");
	follow(new Bucket<StoredRule>("now", "c1").with("video", rule));
	follow(new Bucket<StoredRule>("then", "c1").with("video", other));
	expect(lines).toEqual([]);
	follow(new Bucket<StoredRule>("now", "c1").with("video", other));
	expect(lines).toEqual([
		expect.stringMatching(/"rules":1,"names":\["video"\][^\n]*says otherwise of rules/),
	]);
});
