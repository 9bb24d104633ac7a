import type { HostRecord } from "@sluice/proto/gen/host";
import type { Rule } from "@sluice/proto/gen/rule";
import { PROTOCOL_VERSION } from "@sluice/proto/subjects";
import { carries, formatLabels } from "./labels.ts";
import { protocolComplaint } from "./protocol.ts";

/** The word in a rule's `hosts` that means every host. */
export const ALL_HOSTS = "all";

export interface Placement {
	/** Hosts concerned, in order of their names. */
	readonly hosts: readonly string[];
	/** Why the rule runs on none of them yet. */
	readonly pending?: string;
}

/**
 * Where rules run: on the hosts that one names, or on those that carry its labels. With neither it
 * is the one host that has the input interface: a rule never starts on two hosts because a second
 * one joined. Of many rules what depends on the hosts alone is looked at once. Pure.
 */
export function placementOn(hosts: readonly HostRecord[]): (rule: Rule) => Placement {
	const known = hosts.map((host) => host.host).sort();
	const byInterface = new Map<string, Placement>();
	return (rule) => {
		if (rule.hosts.includes(ALL_HOSTS)) {
			return known.length > 0 ? { hosts: known } : { hosts: [], pending: "no host is known yet" };
		}
		if (rule.hosts.length > 0) return { hosts: [...new Set(rule.hosts)].sort() };
		if (Object.keys(rule.hostLabels).length > 0) return placeByLabels(rule, hosts, known);
		const interfaceName = rule.input?.interface ?? "";
		const placed = byInterface.get(interfaceName) ?? placeByInterface(interfaceName, hosts, known);
		byInterface.set(interfaceName, placed);
		return placed;
	};
}

function placeByInterface(
	interfaceName: string,
	hosts: readonly HostRecord[],
	known: readonly string[],
): Placement {
	const having = hosts.filter((host) => host.interfaces.some(({ name }) => name === interfaceName));
	// One that does not understand the cluster relays nothing new, and must not stop who does.
	const speaking = having.filter(
		({ protocolVersion }) => protocolComplaint(protocolVersion, PROTOCOL_VERSION) === undefined,
	);
	const matching = (speaking.length > 0 ? speaking : having).map(({ host }) => host).sort();
	if (matching.length === 1) return { hosts: matching };
	if (matching.length > 1) {
		return { hosts: matching, pending: `hosts ${shown(matching)} match: name one, or all` };
	}
	if (known.length === 0) return { hosts: [], pending: "no host is known yet" };
	return { hosts: known, pending: `no interface ${interfaceName} here` };
}

const SEVERAL = /^hosts (.+?)(?: and \d+ more)? match: name one, or all$/;

/** Hosts count whom they remember, too: whom `known` lacks is in no list. Other reasons stay as they are. */
export function withRemembered(reason: string, known: ReadonlyMap<string, unknown>): string {
	const named = SEVERAL.exec(reason)?.[1]?.split(", ") ?? [];
	const remembered = named.filter((host) => !known.has(host));
	return remembered.length === 0 ? reason : `${reason} (${remembered.join(", ")}: remembered, not seen)`;
}

/** Each host says it of each such rule, in its one record. */
const SHOWN_HOSTS = 8;

function shown(hosts: readonly string[]): string {
	const more = hosts.length > SHOWN_HOSTS ? ` and ${hosts.length - SHOWN_HOSTS} more` : "";
	return `${hosts.slice(0, SHOWN_HOSTS).join(", ")}${more}`;
}

function placeByLabels(rule: Rule, hosts: readonly HostRecord[], known: readonly string[]): Placement {
	const carriers = hosts.filter(({ labels }) => carries(labels, rule.hostLabels)).map(({ host }) => host);
	if (carriers.length > 0) return { hosts: carriers.sort() };
	if (known.length === 0) return { hosts: [], pending: "no host is known yet" };
	return { hosts: known, pending: `no host carries ${formatLabels(rule.hostLabels)}` };
}
