import { isUnanswered } from "@sluice/lib/rule-status";
import { type RuleStatus, type RuleStatus_HostState, RuleStatus_State } from "@sluice/proto/gen/rule";

/** A rule that was written, and the revision its hosts have to reach. */
export interface Awaited {
	name: string;
	revision: bigint;
}

export interface Verdict {
	/** Hosts that have not said yet what they make of this revision. */
	unanswered: RuleStatus_HostState[];
	/** Hosts that tried and were refused. */
	failed: RuleStatus_HostState[];
}

/**
 * What the hosts made of a write, from the rule's status. Pure.
 *
 * PENDING with a reason of the host's own, a missing interface for instance, is an
 * answer; PENDING because the host has not looked yet, or is silent, is none.
 */
export function judge(awaited: Awaited, status: RuleStatus): Verdict {
	if (status.revision < awaited.revision) return { unanswered: status.hosts, failed: [] };
	return {
		unanswered: status.hosts.filter(isUnanswered),
		failed: status.hosts.filter((host) => host.state === RuleStatus_State.FAILED),
	};
}

export type IsOpen = (state: Pick<RuleStatus_HostState, "state" | "reason">) => boolean;

/** Nothing more to wait for. */
export function isSettled(awaited: Awaited, status: RuleStatus, isOpen: IsOpen = isUnanswered): boolean {
	return status.revision >= awaited.revision && !status.hosts.some(isOpen);
}
