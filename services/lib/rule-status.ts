import { create } from "@bufbuild/protobuf";
import type { HostRecord } from "@sluice/proto/gen/host";
import {
	type RuleStatus,
	type RuleStatus_HostState,
	RuleStatus_HostStateSchema,
	RuleStatus_State,
	RuleStatusSchema,
	type StoredRule,
} from "@sluice/proto/gen/rule";
import { PROTOCOL_VERSION } from "@sluice/proto/subjects";
import { type Placement, placementOn, withRemembered } from "./placement.ts";
import { protocolComplaint } from "./protocol.ts";

/** A host's record with how long ago it was written, as the reader saw it arrive. */
export interface ObservedHost {
	readonly record: HostRecord;
	readonly lastSeenSeconds: number;
	/** NATS was away, the host was not heard since then, and `lastSeenSeconds` is how long ago that was: at most 3 s. */
	readonly awaited?: boolean;
}

/** A host that has not written its record for this long counts as gone. */
export const HOST_GONE_SECONDS = 3;

/** False: whoever runs it stopped it, or it died, or is cut off. */
export function isPresent({ record, lastSeenSeconds }: ObservedHost): boolean {
	return !record.stopped && lastSeenSeconds <= HOST_GONE_SECONDS;
}

const NOT_KNOWN = "host is not known: start sluice there, or look at its log";
const STOPPED = "host was stopped";
const NOT_SEEN = "host not seen";
const NOT_HEARD = "host not heard yet, since NATS was away";
const NOT_APPLIED = "not applied yet";

/** Whether it is a reason of a host that says nothing at all. */
export function isUnheard(reason: string): boolean {
	return [NOT_KNOWN, STOPPED, NOT_HEARD].includes(reason) || reason.startsWith(NOT_SEEN);
}

/** The host may say yet what it makes of the rule; of one that nobody knows, or that was stopped, that is not expected. */
export function isUnanswered({ state, reason }: Pick<RuleStatus_HostState, "state" | "reason">): boolean {
	const expected = reason === NOT_APPLIED || reason === NOT_HEARD || reason.startsWith(NOT_SEEN);
	return state === RuleStatus_State.PENDING && expected;
}

/** What the cluster makes of a rule: one state per host concerned. Pure. */
export function ruleStatus(
	name: string,
	stored: StoredRule,
	revision: bigint,
	hosts: ReadonlyMap<string, ObservedHost>,
): RuleStatus {
	return ruleStatusOn(hosts)(name, stored, revision);
}

/** The same for many rules: what depends on the hosts alone is looked at once. */
export function ruleStatusOn(
	hosts: ReadonlyMap<string, ObservedHost>,
): (name: string, stored: StoredRule, revision: bigint) => RuleStatus {
	const place = placementOn(Array.from(hosts.values(), ({ record }) => record));
	return (name, stored, revision) => {
		const { rule, uid } = stored;
		const states = rule === undefined ? [] : hostStates(name, place(rule), revision, hosts);
		return create(RuleStatusSchema, {
			name,
			uid,
			revision,
			hosts: states,
			...(rule === undefined ? {} : { rule }),
		});
	};
}

function hostStates(
	name: string,
	placement: Placement,
	revision: bigint,
	hosts: ReadonlyMap<string, ObservedHost>,
): RuleStatus_HostState[] {
	return placement.hosts.map((host) => {
		const observed = hosts.get(host);
		if (observed === undefined) return pendingOn(host, NOT_KNOWN);
		if (observed.record.stopped) return pendingOn(host, STOPPED);
		if (observed.awaited === true) return pendingOn(host, NOT_HEARD);
		if (observed.lastSeenSeconds > HOST_GONE_SECONDS) {
			const silence = `${NOT_SEEN} for ${Math.floor(observed.lastSeenSeconds)} s`;
			// One that was refused for it does not come back before.
			const complaint = protocolComplaint(observed.record.protocolVersion, PROTOCOL_VERSION);
			return pendingOn(host, complaint === undefined ? silence : `${silence}: ${complaint}`);
		}
		if (placement.pending !== undefined) return pendingOn(host, placement.pending);
		return hostState(name, revision, observed.record, hosts);
	});
}

function hostState(
	name: string,
	revision: bigint,
	record: HostRecord,
	hosts: ReadonlyMap<string, ObservedHost>,
): RuleStatus_HostState {
	const complaint = protocolComplaint(record.protocolVersion, PROTOCOL_VERSION);
	if (complaint !== undefined) return pendingOn(record.host, complaint);
	// It does what stood in another bucket, and its sequence counts there.
	if (record.holding !== "") return pendingOn(record.host, `holding: ${record.holding}`);
	// What the host says of the revision before tells nothing about this one.
	if (record.appliedSequence < revision) return pendingOn(record.host, NOT_APPLIED);
	const exception = record.exceptions.find((candidate) => candidate.name === name);
	return create(RuleStatus_HostStateSchema, {
		host: record.host,
		state: exception?.state ?? RuleStatus_State.ACTIVE,
		reason: withRemembered(exception?.reason ?? "", hosts),
	});
}

function pendingOn(host: string, reason: string): RuleStatus_HostState {
	return create(RuleStatus_HostStateSchema, { host, state: RuleStatus_State.PENDING, reason });
}
