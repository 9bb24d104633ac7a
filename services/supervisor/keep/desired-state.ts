import { create, equals } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import type { SnapshotEntry } from "@sluice/lib/kv-snapshot";
import { type KeptDesired, KeptDesiredSchema } from "@sluice/proto/gen/cluster";
import { type HostRecord, HostRecordSchema } from "@sluice/proto/gen/host";
import type { LogLevels } from "@sluice/proto/gen/log";
import { RuleSchema, type StoredRule } from "@sluice/proto/gen/rule";
import { CLUSTER_ID_METADATA } from "@sluice/proto/subjects";
import type { LiveCluster } from "../cluster-view.ts";
import type { Logger } from "../logger.ts";
import { DesiredRules, type HostName, placementDigest } from "../observe/desired-rules.ts";
import type { Desired, Link } from "../reconcile/types.ts";
import { holdReason, type RulesSeen } from "./hold.ts";

/** The cluster as a supervisor sees it: what it desires, and that the host's record is to be written. */
export interface ClusterView {
	desired(links: readonly Link[]): Desired;
	/**
	 * Rules changed, or other hosts in what decides where rules run.
	 * @param callback is told whether more of the same edit comes, where that is known.
	 */
	onChange(callback: (more?: boolean) => void): void;
	/** Calls back with what holds as soon as that is known, then with each change. */
	onLevels(callback: (levels: Pick<LogLevels, "settings">) => void): void;
	readonly record: { touch(): void };
	/** Why the host goes on with rules that the bucket lacks; empty: it does not. */
	readonly holding: string;
}

type Entries<Value> = ReadonlyMap<string, SnapshotEntry<Value>>;

/** Another host, and when the bucket was created that had its record. */
interface Other extends SnapshotEntry<HostRecord> {
	readonly created: string;
}

/** Rules as they were last known to be desired. */
interface Known extends RulesSeen {
	readonly names: Entries<StoredRule>;
}

type Live = Pick<LiveCluster, "rules" | "hosts" | "onLevels"> & { readonly record: { touch(): void } };

const NAMES_SAID = 5;

/**
 * What this host shall do: what the cluster's bucket says, or what was last known while there
 * is no cluster, or while its bucket has lost rules that nobody removed (hold.ts).
 */
export class DesiredState implements ClusterView {
	readonly #host: string;
	readonly #own: HostName;
	readonly #log: Logger;
	/** Other hosts, those of a lost bucket too: no rule starts on two hosts because the second is forgotten. */
	readonly #others = new Map<string, Other>();
	readonly #listeners = new Set<(more?: boolean) => void>();
	readonly #levelListeners = new Set<(levels: Pick<LogLevels, "settings">) => void>();
	#known: Known | undefined;
	/** What `#known` says; made anew with it. */
	#knownRules: DesiredRules | undefined;
	#live: Live | undefined;
	#liveRules: DesiredRules | undefined;
	#holding = "";
	/** Why what the bucket says cannot be understood; empty: it can. */
	#refusal = "";
	#onKept: () => void = () => {};

	constructor(own: HostName, kept: KeptDesired | undefined, log: Logger) {
		this.#host = own.host;
		this.#own = own;
		this.#log = log;
		if (kept === undefined) return;
		this.#setKnown(knownFrom(kept));
		for (const { host: other, interfaces, created } of kept.hosts) {
			const record = create(HostRecordSchema, {
				host: other,
				interfaces: interfaces.map((name) => ({ name })),
			});
			this.#others.set(other, { value: record, revision: 0n, writtenUnixMs: 0, created });
		}
	}

	/** How many rules it knows without a cluster. */
	get knownRules(): number {
		return this.#known?.names.size ?? 0;
	}

	get holding(): string {
		return this.#refusal || this.#holding;
	}

	readonly record = { touch: () => this.#live?.record.touch() };

	desired(links: readonly Link[]): Desired {
		this.#review();
		const follows = this.#live !== undefined && this.holding === "";
		const rules = follows ? this.#liveRules : this.#knownRules;
		return rules?.read(links) ?? { sequence: 0n, rules: [], elsewhere: [] };
	}

	onChange(callback: (more?: boolean) => void): void {
		this.#listeners.add(callback);
	}

	onLevels(callback: (levels: Pick<LogLevels, "settings">) => void): void {
		this.#levelListeners.add(callback);
		this.#live?.onLevels(callback);
	}

	/** Called when what is to be kept has changed. */
	onKept(callback: () => void): void {
		this.#onKept = callback;
	}

	/** From now on there is a cluster. */
	attach(live: Live): void {
		this.#live = live;
		this.#liveRules = new DesiredRules(this.#own, live.rules, { entries: this.#others, lastSequence: 0n });
		const isForeign = this.#isForeign(live);
		this.#review();
		if (this.#holding === "") this.#letGoOfOthers(isForeign ? undefined : live.hosts.stream.created);
		this.#takeHosts(live);
		live.rules.onChange(({ more }) => this.#changed(more));
		this.#followHosts(live);
		for (const callback of this.#levelListeners) live.onLevels(callback);
		this.#changed();
	}

	/** The cluster speaks another protocol: the host goes on with the rules it knows. Empty: no longer. */
	refuse(complaint: string): void {
		if (complaint === this.#refusal) return;
		this.#refusal = complaint;
		if (complaint === "") this.#log.info("the cluster speaks this host's protocol again");
		else this.#log.error(`holding: ${complaint}`);
		// The bucket's own map goes on with the bucket.
		if (complaint !== "" && this.#known !== undefined) {
			this.#setKnown({ ...this.#known, names: new Map(this.#known.names) });
		}
		this.#changed();
		this.record.touch();
	}

	/** The operator says that the bucket is right as it is. @throws SluiceError when it is another one here. */
	accept(created: string): void {
		const live = this.#live;
		if (this.#refusal !== "") throw new SluiceError("unavailable", this.#refusal);
		if (live === undefined || live.rules.stream.created !== created) {
			throw new SluiceError("unavailable", `host ${this.#host} does not see that bucket yet: try again`);
		}
		if (this.#holding === "") return;
		this.#log.warn("held rules are dropped: the bucket is accepted as it is");
		this.#holding = "";
		this.#setKnown(seen(live));
		this.#others.clear();
		this.#takeHosts(live);
		this.#onKept();
		this.#changed();
	}

	/** The rules that are held; none when the bucket is followed. */
	held(): StoredRule[] {
		this.#review();
		if (this.#holding === "" || this.#known === undefined) return [];
		return [...this.#known.names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { value }]) => value);
	}

	/** For the file; undefined: what it has stays right. */
	kept(): KeptDesired | undefined {
		this.#review();
		const known = this.#known;
		if (this.#live === undefined || this.holding !== "" || known === undefined) return undefined;
		const { clusterId, created, sequence, names } = known;
		return create(KeptDesiredSchema, {
			clusterId,
			created,
			sequence,
			rules: Array.from(names.values(), ({ value, revision }) => ({ stored: value, revision })),
			hosts: [...this.#others.values()]
				.filter(({ value }) => value.host !== this.#host)
				.map(({ value: { host, interfaces }, created }) => {
					return { host, interfaces: interfaces.map(({ name }) => name), created };
				}),
		});
	}

	/** Follows the bucket, or holds; says so when that changes. */
	#review(): void {
		const live = this.#live;
		if (live === undefined || this.#refusal !== "") return;
		const now = seen(live);
		const reason = this.#known === undefined ? undefined : holdReason(this.#known, now);
		if (reason !== undefined) {
			if (reason !== this.#holding) this.#log.error(`holding: ${reason}`);
			this.#holding = reason;
			return;
		}
		if (this.#holding !== "") this.#log.info({ rules: now.names.size }, "the bucket is followed again");
		this.#holding = "";
		const before = this.#known;
		if (before?.created === now.created && before.sequence === now.sequence) return;
		if (before !== undefined) this.#sayOtherwise(before, now);
		this.#setKnown(now);
		this.#takeHosts(live);
		this.#onKept();
	}

	/** Nothing is held while every name is there; but what another bucket says of one may be older, or another host's. */
	#sayOtherwise(before: Known, now: Known): void {
		if (before.created === now.created && before.sequence <= now.sequence) return;
		const names = [...now.names].flatMap(([name, { value }]) => {
			const known = before.names.get(name)?.value.rule;
			if (known === undefined || value.rule === undefined || equals(RuleSchema, known, value.rule)) return [];
			return [name];
		});
		if (names.length === 0) return;
		const fields = { rules: names.length, names: names.slice(0, NAMES_SAID) };
		this.#log.warn(fields, "the bucket is another one, and says otherwise of rules that this host knew");
	}

	#setKnown(known: Known): void {
		if (known.names !== this.#known?.names) {
			const rules = { entries: known.names, lastSequence: 0n };
			this.#knownRules = new DesiredRules(this.#own, rules, { entries: this.#others, lastSequence: 0n });
		}
		this.#known = known;
	}

	/** Whom the bucket lacks that had them, somebody has forgotten; another one was lost with its server's memory. */
	#letGoOfOthers(bucket: string | undefined): void {
		for (const [host, { created }] of this.#others)
			if (bucket === undefined || created === bucket) this.#others.delete(host);
	}

	/** Those of another cluster say nothing of where the rules run that are held. */
	#takeHosts(live: Live): void {
		if (this.#isForeign(live)) return;
		const { created } = live.hosts.stream;
		for (const [host, entry] of live.hosts.entries) this.#others.set(host, { ...entry, created });
	}

	#isForeign(live: Live): boolean {
		return this.#known !== undefined && this.#known.clusterId !== seen(live).clusterId;
	}

	/** Every host writes its record every two seconds; what matters here hardly ever changes. */
	#followHosts(live: Live): void {
		const digestNow = () => placementDigest(this.#host, { entries: this.#others, lastSequence: 0n });
		let digest = digestNow();
		live.hosts.onChange(({ key, entry, lost }) => {
			if (this.#isForeign(live)) return;
			if (entry !== undefined) this.#others.set(key, { ...entry, created: live.hosts.stream.created });
			else if (lost !== true) this.#others.delete(key);
			if (key === this.#host) return;
			const now = digestNow();
			if (now === digest) return;
			digest = now;
			this.#onKept();
			this.#changed();
		});
	}

	#changed(more?: boolean): void {
		for (const callback of this.#listeners) callback(more);
	}
}

function seen({ rules }: Live): Known {
	return {
		clusterId: rules.stream.metadata[CLUSTER_ID_METADATA] ?? "",
		created: rules.stream.created,
		sequence: rules.lastSequence,
		damaged: rules.stream.damaged,
		// The snapshot fills a new map when it reads another bucket, so this one stays as it was.
		names: rules.entries,
	};
}

function knownFrom({ clusterId, created, sequence, rules }: KeptDesired): Known {
	const names = new Map<string, SnapshotEntry<StoredRule>>();
	for (const { stored, revision } of rules) {
		const name = stored?.rule?.name ?? "";
		if (stored !== undefined && name !== "") names.set(name, { value: stored, revision, writtenUnixMs: 0 });
	}
	return { clusterId, created, sequence, damaged: false, names };
}
