import { drainKey, egressKey } from "./keys.ts";
import type { DesiredOutput, DesiredRule, Drain, Egress, Link, TableOutput } from "./types.ts";

/** A rule's input on this host's links as they are now. */
export interface ResolvedInput {
	/** The interface datagrams are captured on; absent: there is nothing to capture on. */
	readonly link?: Link;
	/** Why the rule waits; it may still have a link, which is then down. */
	readonly pending?: string;
}

export interface Links {
	readonly byName: ReadonlyMap<string, Link>;
	readonly byIndex: ReadonlyMap<number, Link>;
	/** Every IPv4 address of this host. */
	readonly addresses: ReadonlySet<number>;
}

export function indexLinks(links: readonly Link[]): Links {
	return {
		byName: new Map(links.map((link) => [link.name, link])),
		byIndex: new Map(links.map((link) => [link.ifindex, link])),
		addresses: new Set(links.flatMap((link) => link.addresses)),
	};
}

export function resolveInput(rule: DesiredRule, links: Links): ResolvedInput {
	if (rule.held !== undefined) return { pending: rule.held };
	const { input } = rule;
	const link = links.byName.get(input.interface);
	if (link === undefined) return { pending: `no interface ${input.interface} here` };
	// A unicast input is the end of a tunnel: without the address nothing is sent to us.
	if (!input.multicast && !links.addresses.has(input.group)) {
		return { pending: `address ${dotted(input.group)} is not on an interface here` };
	}
	if (!link.up) return { link, pending: `interface ${link.name} is down` };
	return { link };
}

/** A unicast input needs a socket on its address, or the kernel answers each datagram with an error. */
export function drainOf(rule: DesiredRule, link: Link): Drain | undefined {
	const { group, multicast, port } = rule.input;
	if (multicast) return undefined;
	return { key: drainKey(link.ifindex, group, port), ifindex: link.ifindex, address: group, port };
}

export interface ResolvedOutput {
	/** Kept open while the interface is down, so that it flows again at once. */
	readonly egress?: Egress;
	readonly source: number;
	readonly mtu: number;
	readonly ifindex: number;
	/** Why nothing can be sent there now. */
	readonly unusable?: string;
	/** Why what is sent there never arrives, as long as rule and addresses are as they are. */
	readonly refused?: string;
}

export function resolveOutput(output: DesiredOutput, links: Links): ResolvedOutput {
	const link = links.byName.get(output.interface);
	if (link === undefined) {
		return { source: 0, mtu: 0, ifindex: 0, unusable: `no output interface ${output.interface} here` };
	}
	const source = link.addresses[0];
	const place = { mtu: link.mtu, ifindex: link.ifindex };
	if (source === undefined) {
		return { ...place, source: 0, unusable: `output interface ${link.name} has no IPv4 address` };
	}
	if (link.broadcasts?.includes(output.address) === true) {
		const what = `${dotted(output.address)} is its broadcast address, to which nothing is sent`;
		return { ...place, source, refused: `${what}: give a multicast group, or an address` };
	}
	// The socket that sends would be the one that gets it.
	if (output.address === source && output.port === output.sourcePort) {
		const own = `${dotted(source)} is its own address, and source port ${output.port} takes what is sent there`;
		return { ...place, source, refused: `${own}: set another sourcePort, or another address` };
	}
	const bindAddress = output.multicast ? 0 : source;
	const egress: Egress = {
		key: egressKey(link.ifindex, output.sourcePort, bindAddress),
		ifindex: link.ifindex,
		sourcePort: output.sourcePort,
		bindAddress,
	};
	if (!link.up) return { ...place, source, egress, unusable: `output interface ${link.name} is down` };
	return { ...place, source, egress };
}

/** The record of an output; without an egress socket it is there for its counters only. */
export function tableOutput(
	output: DesiredOutput,
	resolved: ResolvedOutput,
	egress: string | undefined,
): TableOutput {
	return {
		key: output.key,
		ifindex: egress === undefined ? 0 : resolved.ifindex,
		...(egress === undefined ? {} : { egress }),
		destination: output.address,
		source: egress === undefined ? 0 : resolved.source,
		port: output.port,
		ttl: output.ttl,
		dscp: output.dscp,
		mtu: egress === undefined ? 0 : resolved.mtu,
	};
}

/** Why a rule waits, and how much of it flows all the same. */
export function withFlowing(reason: string, outputs: readonly TableOutput[]): string {
	const sending = outputs.filter(({ egress }) => egress !== undefined).length;
	if (sending === 0) return reason;
	return `${reason}; ${sending} of ${outputs.length} outputs ${sending === 1 ? "sends" : "send"}`;
}

function dotted(address: number): string {
	return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join(".");
}
