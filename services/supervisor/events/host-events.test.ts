import { expect, test } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RuleStateChangedSchema, WorkerChangedSchema } from "@sluice/proto/gen/event";
import { RuleStatus_State } from "@sluice/proto/gen/rule";
import { Worker_State } from "@sluice/proto/gen/worker";
import type { RuleState } from "../reconcile/types.ts";
import type { WorkerStatus } from "../worker-processes/fleet.ts";
import { HostEvents, type Told } from "./host-events.ts";

type Event = MessageInitShape<typeof RuleStateChangedSchema> & MessageInitShape<typeof WorkerChangedSchema>;

function watch() {
	let heard: [string, Event][] = [];
	const events = new HostEvents("relay-a", {
		tell: (subject, _, event) => void heard.push([subject, event as Event]),
	});
	return (told: Partial<Told>): [string, Event][] => {
		heard = [];
		events.tell({ rules: [], desired: [], workers: [], ...told });
		return heard;
	};
}

const STATE = "sluice.v1.event.host.relay-a.rule.video";
const active: RuleState = { name: "video", state: "ACTIVE", reason: "" };
const written = (revision: bigint, uid = "one") => [{ name: "video", uid, revision }];

test("a rule's state is told when it changes, and when a rule that stays ACTIVE was edited", () => {
	const tell = watch();
	const rules = [active];
	expect(tell({ rules, desired: written(3n) })).toMatchObject([
		[STATE, { host: "relay-a", name: "video", uid: "one", revision: 3n, state: RuleStatus_State.ACTIVE }],
	]);
	// A heartbeat, and a round in which nothing changed.
	expect(tell({ rules, desired: written(3n) })).toEqual([]);
	expect(tell({ rules: [active], desired: written(3n) })).toEqual([]);
	expect(tell({ rules: [active], desired: written(4n) })).toMatchObject([[STATE, { revision: 4n }]]);
	const pending: RuleState = { name: "video", state: "PENDING", reason: "no interface r9 here" };
	expect(tell({ rules: [pending], desired: written(4n) })).toMatchObject([
		[STATE, { state: RuleStatus_State.PENDING, reason: "no interface r9 here" }],
	]);
	expect(tell({ rules: [{ ...pending, reason: "r9 is down" }], desired: written(4n) })).toHaveLength(1);
	expect(tell({ rules: [{ ...pending, reason: "r9 is down" }], desired: written(4n, "two") })).toHaveLength(
		1,
	);
});

test("a rule that runs here no longer is told once, as withdrawn", () => {
	const tell = watch();
	tell({ rules: [active], desired: written(3n) });
	expect(tell({ rules: [] })).toMatchObject([[STATE, { uid: "one", withdrawn: true }]]);
	expect(tell({ rules: [] })).toEqual([]);
});

test("a worker is told when it ends, starts and runs", () => {
	const tell = watch();
	const status: WorkerStatus = { slot: 1, core: 1, pid: 70, state: "RUNNING", restarts: 0, lastExit: "" };
	expect(tell({ workers: [status] })).toMatchObject([
		["sluice.v1.event.host.relay-a.worker.1", { worker: { pid: 70, state: Worker_State.RUNNING } }],
	]);
	expect(tell({ workers: [status] })).toEqual([]);
	const ended: WorkerStatus = { ...status, pid: 0, state: "BACKOFF", lastExit: "SIGKILL" };
	expect(tell({ workers: [ended] })).toMatchObject([
		[expect.anything(), { worker: { lastExit: "SIGKILL" } }],
	]);
	// So fast that no state between was written.
	expect(tell({ workers: [{ ...ended, pid: 71, state: "RUNNING", restarts: 1 }] })).toHaveLength(1);
});
