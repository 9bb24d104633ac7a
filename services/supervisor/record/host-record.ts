import { create, toBinary } from "@bufbuild/protobuf";
import { formatIpv4 } from "@sluice/lib/address";
import {
	type HostRecord,
	type HostRecord_RuleException,
	HostRecord_RuleExceptionSchema,
	HostRecordSchema,
	type Interface,
	InterfaceSchema,
} from "@sluice/proto/gen/host";
import { RuleStatus_State } from "@sluice/proto/gen/rule";
import { type Worker, Worker_State, WorkerSchema } from "@sluice/proto/gen/worker";
import { PROTOCOL_VERSION } from "@sluice/proto/subjects";
import type { DesiredRule, Link, RuleState } from "../reconcile/types.ts";
import type { WorkerStatus } from "../worker-processes/fleet.ts";

/** What does not change while the supervisor runs. */
export interface HostIdentity {
	readonly host: string;
	readonly installation: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly incarnation: bigint;
	readonly version: string;
	readonly kernel: string;
	/** CPUs that workers may run on. */
	readonly cores: number;
	readonly ringLimitBytes: number;
	readonly idle: string;
	readonly priority: string;
}

export interface HostState {
	readonly links: readonly Link[];
	/** Every rule up to here is applied, or stands in `rules` with another state. */
	readonly appliedSequence: bigint;
	readonly rules: readonly RuleState[];
	/** What was applied, of which `rules` speak. */
	readonly desired: readonly DesiredRule[];
	readonly workers: readonly WorkerStatus[];
	readonly ringBytes: number;
	/** Why the host goes on with rules that the bucket lacks; empty: it does not. */
	readonly holding: string;
	readonly atMs: number;
}

export function hostRecord(identity: HostIdentity, state: HostState): HostRecord {
	return create(HostRecordSchema, {
		host: identity.host,
		installation: identity.installation,
		labels: { ...identity.labels },
		interfaces: state.links.map(interfaceOf),
		appliedSequence: state.appliedSequence,
		exceptions: state.rules.filter((rule) => rule.state !== "ACTIVE").map(exceptionOf),
		workers: state.workers.map((worker) => workerOf(identity.host, worker)),
		incarnation: identity.incarnation,
		atUnixMs: BigInt(state.atMs),
		protocolVersion: PROTOCOL_VERSION,
		ringBytes: BigInt(state.ringBytes),
		ringLimitBytes: BigInt(identity.ringLimitBytes),
		version: identity.version,
		kernel: identity.kernel,
		cores: identity.cores,
		idle: identity.idle,
		priority: identity.priority,
		holding: state.holding,
	});
}

/** Of reasons, so that a message takes the record; a rule that has lost its reason still has its state. */
const REASON_LIMITS = [256, 128, 64, 32, 16, 0] as const;

/**
 * As it is stored. Of many thousand rules that do not flow the reasons may fill more than one message takes: then the
 * longest are cut, since a host that cannot write its record is taken for gone, with all its rules.
 */
export function encodeRecord(record: HostRecord, limitBytes: number): Uint8Array {
	let bytes = toBinary(HostRecordSchema, record);
	for (const most of REASON_LIMITS) {
		if (bytes.length <= limitBytes) break;
		const exceptions = record.exceptions.map((exception) =>
			exception.reason.length <= most ? exception : { ...exception, reason: cut(exception.reason, most) },
		);
		bytes = toBinary(HostRecordSchema, { ...record, exceptions });
	}
	return bytes;
}

function cut(reason: string, most: number): string {
	return most === 0 ? "" : `${reason.slice(0, most - 1)}…`;
}

function interfaceOf(link: Link): Interface {
	const { name, ifindex, up, mtu, mac, driver, loopback } = link;
	return create(InterfaceSchema, {
		name,
		index: ifindex,
		up,
		addresses: link.addresses.map(formatIpv4),
		mtu,
		mac,
		driver,
		loopback,
	});
}

function exceptionOf({ name, state, reason }: RuleState): HostRecord_RuleException {
	return create(HostRecord_RuleExceptionSchema, { name, state: RuleStatus_State[state], reason });
}

export function workerOf(host: string, { slot, core, pid, state, restarts, lastExit }: WorkerStatus): Worker {
	return create(WorkerSchema, {
		host,
		worker: slot,
		core,
		pid,
		state: Worker_State[state],
		restarts,
		lastExit,
	});
}
