import { create } from "@bufbuild/protobuf";
import type { BucketSnapshot, SnapshotEntry } from "@sluice/lib/kv-snapshot";
import { formatLabels, type Labels } from "@sluice/lib/labels";
import { placementOn } from "@sluice/lib/placement";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import type { StoredRule } from "@sluice/proto/gen/rule";
import type { Desired, DesiredRule, Link } from "../reconcile/types.ts";
import { desiredRule } from "./desired-rule.ts";

type Snapshot<Value> = Pick<BucketSnapshot<Value>, "entries" | "lastSequence">;

interface Translated {
	readonly entry: SnapshotEntry<StoredRule>;
	readonly rule: DesiredRule;
}

/** What of a host decides where rules run, besides its interfaces. */
export interface HostName {
	readonly host: string;
	readonly labels: Labels;
}

/** The rules that concern this host, and those that are for others, as they stand now. */
export class DesiredRules {
	readonly #own: HostName;
	readonly #rules: Snapshot<StoredRule>;
	readonly #hosts: Snapshot<HostRecord>;
	/** Rules are translated once per entry: another bucket's revisions may be the same numbers. */
	#translated = new Map<string, Translated>();

	constructor(own: HostName, rules: Snapshot<StoredRule>, hosts: Snapshot<HostRecord>) {
		this.#own = own;
		this.#rules = rules;
		this.#hosts = hosts;
	}

	/** `links`: this host's own; its record in the bucket is older. */
	read(links: readonly Link[]): Desired {
		const place = placementOn(this.#hostRecords(links));
		const rules: DesiredRule[] = [];
		const elsewhere: DesiredRule[] = [];
		const translated = new Map<string, Translated>();
		for (const [name, entry] of this.#rules.entries) {
			const current = this.#translate(name, entry);
			translated.set(name, current);
			if (entry.value.rule === undefined) continue;
			const placement = place(entry.value.rule);
			if (!placement.hosts.includes(this.#own.host)) {
				elsewhere.push(current.rule);
				continue;
			}
			rules.push(
				placement.pending === undefined ? current.rule : { ...current.rule, held: placement.pending },
			);
		}
		this.#translated = translated;
		rules.sort((a, b) => (a.name < b.name ? -1 : 1));
		return { sequence: this.#rules.lastSequence, rules, elsewhere };
	}

	#translate(name: string, entry: SnapshotEntry<StoredRule>): Translated {
		const before = this.#translated.get(name);
		if (before?.entry === entry) return before;
		return { entry, rule: desiredRule(name, entry.value, entry.revision) };
	}

	#hostRecords(links: readonly Link[]): HostRecord[] {
		const own = create(HostRecordSchema, {
			host: this.#own.host,
			labels: { ...this.#own.labels },
			interfaces: links.map(({ name }) => ({ name })),
		});
		const others = [...this.#hosts.entries.values()].map(({ value }) => value);
		return [own, ...others.filter(({ host }) => host !== this.#own.host)];
	}
}

/** What of other hosts decides where rules run: their names, protocols, labels, and interfaces' names. */
export function placementDigest(host: string, hosts: Snapshot<HostRecord>): string {
	return [...hosts.entries.values()]
		.filter(({ value }) => value.host !== host)
		.map(({ value: { host, protocolVersion, labels, interfaces } }) => [
			host,
			protocolVersion,
			formatLabels(labels),
			...interfaces.map(({ name }) => name),
		])
		.map((parts) => parts.join(":"))
		.sort()
		.join(";");
}
