import type { HostRecord } from "@sluice/proto/gen/host";
import type { Rule } from "@sluice/proto/gen/rule";

/** The word in a rule's `hosts` that means every host. */
export const ALL_HOSTS = "all";

export interface Placement {
	/** Hosts concerned, in order of their names. */
	readonly hosts: readonly string[];
	/** Why the rule runs on none of them yet. */
	readonly pending?: string;
}

/**
 * Where a rule runs. With `hosts` absent it is the one host that has the input
 * interface: a rule never starts on two hosts because a second one joined. Pure.
 */
export function placeRule(rule: Rule, hosts: readonly HostRecord[]): Placement {
	const known = hosts.map((host) => host.host).sort();
	if (rule.hosts.includes(ALL_HOSTS)) {
		return known.length > 0 ? { hosts: known } : { hosts: [], pending: "no host is known yet" };
	}
	if (rule.hosts.length > 0) return { hosts: [...new Set(rule.hosts)].sort() };
	const interfaceName = rule.input?.interface ?? "";
	const matching = hosts
		.filter((host) => host.interfaces.some((candidate) => candidate.name === interfaceName))
		.map((host) => host.host)
		.sort();
	if (matching.length === 1) return { hosts: matching };
	if (matching.length > 1) {
		return { hosts: matching, pending: `hosts ${matching.join(", ")} match: name one, or all` };
	}
	if (known.length === 0) return { hosts: [], pending: "no host is known yet" };
	return { hosts: known, pending: `no interface ${interfaceName} here` };
}
