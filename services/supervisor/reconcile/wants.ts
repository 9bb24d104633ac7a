import { destinationKey, groupKey, ruleKey } from "./keys.ts";
import { demand, type GroupDemand, membershipsOf } from "./memberships.ts";
import {
	drainOf,
	indexLinks,
	type Links,
	type ResolvedInput,
	type ResolvedOutput,
	resolveInput,
	resolveOutput,
	tableOutput,
	withFlowing,
} from "./resolve.ts";
import { planRings } from "./rings.ts";
import type {
	Desired,
	DesiredOutput,
	DesiredRule,
	Destination,
	Drain,
	Egress,
	Link,
	Membership,
	Observed,
	Table,
	TableOutput,
	TableRule,
} from "./types.ts";

/** Everything that should be open, and what stands in the way of each rule. */
export interface Wants {
	readonly shards: ReadonlyMap<number, { readonly link: Link; readonly ringBytes: number }>;
	/** Interfaces that need shards and can't have them now. */
	readonly shardsRefused: ReadonlyMap<number, string>;
	readonly egress: ReadonlyMap<string, Egress>;
	readonly drains: ReadonlyMap<string, Drain>;
	readonly destinations: ReadonlyMap<string, Destination>;
	/** By group key. */
	readonly groups: ReadonlyMap<string, readonly Membership[]>;
	readonly table: Table;
	readonly verdicts: readonly Verdict[];
}

/** What is known of a rule; a failure weighs more than a wait. */
export interface Verdict {
	readonly name: string;
	readonly uid: string;
	failed?: string | undefined;
	pending?: string | undefined;
	/** Of the group it is a member of. */
	group?: string;
	/** It has a row in the table that matches. */
	live: boolean;
}

interface Candidate extends ResolvedInput {
	readonly rule: DesiredRule;
	readonly verdict: Verdict;
}

export function collectWants({ rules, elsewhere }: Desired, observed: Observed): Wants {
	const links = linksOf(observed.links);
	const captures = new Map<number, Link>();
	const candidates = rules.map((rule): Candidate => {
		const resolved = resolveInput(rule, links);
		const verdict: Verdict = {
			name: rule.name,
			uid: rule.uid,
			failed: rule.malformed,
			pending: resolved.pending,
			live: false,
		};
		const { link } = resolved;
		// On a link that is down nothing is opened, and what is open stays for its return.
		const captured = link !== undefined && (link.up || observed.open.shards.has(link.ifindex));
		if (!captured || rule.malformed !== undefined) return { rule, verdict };
		captures.set(link.ifindex, link);
		return { rule, verdict, link };
	});
	const rings = planRings(captures, observed);
	const collector = new Collector(links, observed, rings.refused);
	for (const candidate of candidates) collector.add(candidate);
	for (const rule of elsewhere) collector.addDormant(rule);
	return collector.finish(captures, rings.ringBytes, rings.refused);
}

class Collector {
	readonly #links: Links;
	readonly #observed: Observed;
	readonly #refused: ReadonlyMap<number, string>;
	readonly #egress = new Map<string, Egress>();
	readonly #drains = new Map<string, Drain>();
	readonly #destinations = new Map<string, Destination>();
	readonly #demands = new Map<string, GroupDemand>();
	readonly #rows: TableRule[] = [];
	readonly #verdicts: Verdict[] = [];
	/** Which rule has an input key, to name it when a second one comes. */
	readonly #inputs = new Map<string, string>();
	/** Rules that have counters: they keep their row while they cannot run. */
	readonly #counted: ReadonlySet<string>;
	/** Whether anything is refused at all: hardly ever, and there are many rules. */
	readonly #failing: boolean;
	#outputCount = 0;
	#sourceCount = 0;

	constructor(links: Links, observed: Observed, refused: ReadonlyMap<number, string>) {
		this.#links = links;
		this.#observed = observed;
		this.#refused = refused;
		const { failures, restored, table } = observed.open;
		this.#failing = failures.size > 0;
		this.#counted = table === undefined ? restored : new Set(table.rules.map((row) => row.uid));
	}

	add({ rule, verdict, link }: Candidate): void {
		this.#verdicts.push(verdict);
		const refused = this.#failing ? this.#failure(ruleKey(rule.uid)) : undefined;
		if (refused !== undefined) {
			// Not even a dormant row: it would have the table refused again.
			verdict.failed ??= refused;
			return;
		}
		if (link === undefined) {
			this.addDormant(rule);
			return;
		}
		const obstacle = this.#refused.get(link.ifindex) ?? this.#limit(rule) ?? this.#claimInput(rule, link);
		if (obstacle !== undefined) {
			verdict.failed ??= obstacle;
			this.addDormant(rule);
			return;
		}
		verdict.live = true;
		const resolved = resolvedOn(rule, link, this.#links);
		this.#addCapture(rule, resolved, link, verdict);
		this.#addRow(this.#addOutputs(rule, resolved, verdict));
	}

	finish(
		captures: ReadonlyMap<number, Link>,
		ringBytes: ReadonlyMap<number, number>,
		shardsRefused: ReadonlyMap<number, string>,
	): Wants {
		const groups = new Map<string, readonly Membership[]>();
		for (const [key, entry] of this.#demands) {
			groups.set(key, membershipsOf(entry, this.#observed.limits.sourcesPerGroup));
		}
		for (const verdict of this.#verdicts) {
			if (verdict.group === undefined) continue;
			for (const membership of groups.get(verdict.group) ?? []) {
				verdict.failed ??= this.#failure(membership.key);
			}
		}
		const shards = new Map<number, { link: Link; ringBytes: number }>();
		const interfaces = [];
		for (const [ifindex, link] of captures) {
			const bytes = ringBytes.get(ifindex);
			if (bytes === undefined) continue;
			shards.set(ifindex, { link, ringBytes: bytes });
			interfaces.push({ name: link.name, ifindex });
		}
		interfaces.sort((a, b) => a.ifindex - b.ifindex);
		return {
			shards,
			shardsRefused,
			egress: this.#egress,
			drains: this.#drains,
			destinations: this.#destinations,
			groups,
			table: { rules: this.#rows, interfaces },
			verdicts: this.#verdicts,
		};
	}

	/** Filter entry, membership or drain: what makes the datagrams come and pass. */
	#addCapture(
		{ input }: DesiredRule,
		{ drain, destination, groupKey }: Resolved,
		link: Link,
		verdict: Verdict,
	): void {
		if (drain !== undefined) {
			this.#drains.set(drain.key, drain);
			verdict.failed ??= this.#failure(drain.key);
		}
		this.#destinations.set(destination.key, destination);
		const failure = this.#failure(destination.key);
		verdict.failed ??= failure;
		// Datagrams that the filter keeps out are not asked for.
		if (groupKey === undefined || failure !== undefined) return;
		verdict.group = groupKey;
		let entry = this.#demands.get(groupKey);
		if (entry === undefined) {
			entry = { link, group: input.group, sources: new Set(), any: false };
			this.#demands.set(groupKey, entry);
		}
		demand(entry, input.sources);
	}

	/** One unusable output makes the rule wait; the others are sent to meanwhile, and the reason says so. */
	#addOutputs(rule: DesiredRule, { outputs, row }: Resolved, verdict: Verdict): TableRule {
		let unusable: string | undefined;
		let obstructed = false;
		const rows = outputs.map((resolved, index) => {
			const { egress } = resolved;
			unusable ??= resolved.unusable;
			const planned = row.outputs[index] as TableOutput;
			const obstacle = resolved.refused ?? (egress && this.#addEgress(egress));
			if (obstacle === undefined) return planned;
			const output = rule.outputs[index] as DesiredOutput;
			verdict.failed ??= `output ${output.interface}: ${obstacle}`;
			obstructed = true;
			return tableOutput(output, resolved, undefined);
		});
		verdict.pending ??= unusable && withFlowing(unusable, rows);
		return obstructed ? { ...row, outputs: rows } : row;
	}

	#addEgress(egress: Egress): string | undefined {
		const { egress: limit } = this.#observed.limits;
		if (!this.#egress.has(egress.key) && this.#egress.size >= limit) {
			return `more than ${limit} combinations of interface and source port: set sourcePort`;
		}
		this.#egress.set(egress.key, egress);
		return this.#failure(egress.key);
	}

	/** Of a rule that cannot run here, or is for other hosts: nothing but what it counted. */
	addDormant(rule: DesiredRule): void {
		// Most rules of other hosts never ran here.
		if (!this.#counted.has(rule.uid)) return;
		if (this.#failure(ruleKey(rule.uid)) !== undefined || this.#limit(rule) !== undefined) return;
		this.#addRow(dormantRow(rule));
	}

	#addRow(row: TableRule): void {
		this.#rows.push(row);
		this.#outputCount += row.outputs.length;
		this.#sourceCount += row.sources.length;
	}

	#limit(rule: DesiredRule): string | undefined {
		const { limits } = this.#observed;
		if (this.#rows.length >= limits.rules) return `more than ${limits.rules} rules on one host`;
		if (this.#outputCount + rule.outputs.length > limits.outputs) {
			return `more than ${limits.outputs} outputs on one host`;
		}
		if (this.#sourceCount + rule.input.sources.length > limits.sources) {
			return `more than ${limits.sources} sources on one host`;
		}
		return undefined;
	}

	/** A datagram has exactly one rule; two with one key are refused at the door, this is the second lock. */
	#claimInput(rule: DesiredRule, link: Link): string | undefined {
		const keys = resolvedOn(rule, link, this.#links).inputKeys;
		for (const key of keys) {
			const other = this.#inputs.get(key);
			if (other !== undefined) return `same input as rule ${other}`;
		}
		for (const key of keys) this.#inputs.set(key, rule.name);
		return undefined;
	}

	#failure(key: string): string | undefined {
		if (!this.#failing) return undefined;
		const failure = this.#observed.open.failures.get(key);
		return failure !== undefined && failure.retryAtMs > this.#observed.nowMs ? failure.reason : undefined;
	}
}

/** What a rule comes to on the links of now, if nothing is refused. */
interface Resolved {
	readonly links: Links;
	/** What it takes, by source. */
	readonly inputKeys: readonly string[];
	readonly drain: Drain | undefined;
	readonly destination: Destination;
	/** Of the group that it has to be a member of. */
	readonly groupKey: string | undefined;
	readonly outputs: readonly ResolvedOutput[];
	readonly row: TableRule;
}

/** Each round looks at every rule twice, and few have changed. Links that changed are another list. */
const resolvedRules = new WeakMap<DesiredRule, Resolved>();
const indexedLinks = new WeakMap<readonly Link[], Links>();

function linksOf(list: readonly Link[]): Links {
	const known = indexedLinks.get(list);
	if (known !== undefined) return known;
	const links = indexLinks(list);
	indexedLinks.set(list, links);
	return links;
}

function resolvedOn(rule: DesiredRule, link: Link, links: Links): Resolved {
	const known = resolvedRules.get(rule);
	if (known?.links === links) return known;
	const { vlan, group, multicast, port, sources } = rule.input;
	const { ifindex } = link;
	const outputs = rule.outputs.map((output) => resolveOutput(output, links));
	const anySource = { address: 0, length: 0 };
	const resolved = {
		links,
		inputKeys: (sources.length === 0 ? [anySource] : sources).map(
			({ address, length }) => `${ifindex}/${vlan}/${group}/${port}/${address}/${length}`,
		),
		drain: drainOf(rule, link),
		destination: { key: destinationKey(ifindex, group), ifindex, address: group },
		groupKey: multicast ? groupKey(ifindex, group) : undefined,
		outputs,
		row: {
			...{ uid: rule.uid, ifindex, group, port, vlan, sources },
			outputs: outputs.map((output, index) =>
				tableOutput(
					rule.outputs[index] as DesiredOutput,
					output,
					output.unusable === undefined ? output.egress?.key : undefined,
				),
			),
			dormant: false,
		},
	};
	resolvedRules.set(rule, resolved);
	return resolved;
}

/** Of a rule's translation, which is another with each edit: where many rules have moved away their rows are many. */
const dormantRows = new WeakMap<DesiredRule, TableRule>();

function dormantRow(rule: DesiredRule): TableRule {
	const known = dormantRows.get(rule);
	if (known !== undefined) return known;
	const nowhere = { source: 0, mtu: 0, ifindex: 0 };
	const row = {
		uid: rule.uid,
		ifindex: 0,
		group: 0,
		port: 0,
		vlan: 0,
		sources: [],
		outputs: rule.outputs.map((output) => tableOutput(output, nowhere, undefined)),
		dormant: true,
	};
	dormantRows.set(rule, row);
	return row;
}
