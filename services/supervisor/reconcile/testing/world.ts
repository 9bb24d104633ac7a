import { outputKey } from "@sluice/proto/output-key";
import { driverKey, shardsKey, TABLE_KEY } from "../keys.ts";
import { reconcile } from "../reconcile.ts";
import type {
	Command,
	Desired,
	DesiredOutput,
	DesiredRule,
	Failure,
	Limits,
	Link,
	Observed,
	Open,
	Plan,
	RuleState,
	WorkerView,
} from "../types.ts";

export function ip(text: string): number {
	return text.split(".").reduce((address, octet) => address * 256 + Number(octet), 0);
}

export function link(name: string, ifindex: number, changes: Partial<Link> = {}): Link {
	return {
		name,
		ifindex,
		mtu: 1500,
		up: true,
		loopback: false,
		mac: "02:00:00:00:00:01",
		driver: "veth",
		addresses: [ip(`10.0.${ifindex}.1`)],
		carrierEpoch: 1,
		...changes,
	};
}

export interface RuleOptions {
	readonly in?: string;
	readonly group?: string;
	readonly port?: number;
	readonly sources?: readonly string[];
	readonly out?: readonly string[];
	readonly vlan?: number;
	readonly sourcePort?: number;
	readonly held?: string;
	readonly malformed?: string;
	readonly uid?: string;
}

/** A rule from r0:239.1.1.1:5001 to r1:239.10.1.1:6001, unless said otherwise. */
export function rule(name: string, options: RuleOptions = {}): DesiredRule {
	const group = ip(options.group ?? "239.1.1.1");
	const { held, malformed } = options;
	return {
		name,
		uid: options.uid ?? `uid-${name}`,
		revision: 1n,
		input: {
			interface: options.in ?? "r0",
			group,
			multicast: group >>> 28 === 14,
			port: options.port ?? 5001,
			vlan: options.vlan ?? 0,
			sources: (options.sources ?? []).map((text) => {
				const [address = "", length = "32"] = text.split("/");
				return { address: ip(address), length: Number(length) };
			}),
		},
		outputs: (options.out ?? ["r1:239.10.1.1:6001"]).map((text) => output(text, options.sourcePort)),
		...(held === undefined ? {} : { held }),
		...(malformed === undefined ? {} : { malformed }),
	};
}

function output(text: string, sourcePort: number | undefined): DesiredOutput {
	const [name = "", address = "", port = ""] = text.split(":");
	return {
		interface: name,
		address: ip(address),
		multicast: ip(address) >>> 28 === 14,
		port: Number(port),
		ttl: 16,
		dscp: 0,
		sourcePort: sourcePort ?? Number(port),
		key: outputKey(name, address, Number(port)),
	};
}

export const LIMITS: Limits = {
	workers: 2,
	rules: 20_000,
	outputs: 262_144,
	sources: 131_072,
	egress: 16_384,
	interfaces: 64,
	shardsPerWorker: 128,
	sourcesPerGroup: 10,
	ringLimitBytes: 512 * 2 ** 20,
	shardBytes: 32 * 2 ** 20,
	shardMinimumBytes: 2 * 2 ** 20,
};

type Mutable<T> = T extends ReadonlyMap<infer K, infer V> ? Map<K, V> : T;
type Opened = { -readonly [Key in keyof Open]: Mutable<Open[Key]> };

/** A host in memory: executes commands as the real one does, and refuses what it is told to refuse. */
export class World {
	links: Link[] = [link("lo", 1, { loopback: true }), link("r0", 2), link("r1", 3), link("r2", 4)];
	workers: WorkerView[] = [
		{ slot: 0, phase: "running" },
		{ slot: 1, phase: "running" },
	];
	limits: Limits = LIMITS;
	workersDown = false;
	nowMs = 1_000_000;
	/** Key → reason. */
	readonly refuse = new Map<string, string>();
	/** Rules of other hosts. */
	elsewhere: readonly DesiredRule[] = [];
	readonly open: Opened = {
		shards: new Map(),
		egress: new Map(),
		drains: new Map(),
		destinations: new Map(),
		memberships: new Map(),
		table: undefined,
		tableInForce: false,
		failures: new Map<string, Failure>(),
		restored: new Set<string>(),
	};

	/** The worker's process has ended: nobody drives its shards. */
	end(ended: number): void {
		this.workers = this.workers.map((worker) =>
			worker.slot === ended ? { slot: ended, phase: "absent" } : worker,
		);
		for (const [ifindex, { shards, ...rest }] of this.open.shards) {
			const left = shards.map(({ driver }) => ({ driver: driver?.slot === ended ? undefined : driver }));
			this.open.shards.set(ifindex, { ...rest, shards: left });
		}
	}

	plan(rules: readonly DesiredRule[]): Plan {
		return reconcile(this.desired(rules), this.observed());
	}

	/** Reconciles and executes until nothing is left; returns what was executed, in order, and the states. */
	settle(...rules: DesiredRule[]): { commands: Command[]; text: string[]; rules: readonly RuleState[] } {
		const executed: Command[] = [];
		for (let pass = 0; pass < 20; pass += 1) {
			const plan = this.plan(rules);
			if (plan.commands.length === 0) {
				return { commands: executed, text: executed.map(describe), rules: plan.rules };
			}
			executed.push(...this.execute(plan.commands));
		}
		throw new Error(`does not settle: ${this.plan(rules).commands.map(describe).join(", ")}`);
	}

	setLink(name: string, changes: Partial<Link>): void {
		this.links = this.links.map((candidate) =>
			candidate.name === name ? { ...candidate, ...changes } : candidate,
		);
	}

	removeLink(name: string): void {
		this.links = this.links.filter((candidate) => candidate.name !== name);
	}

	desired(rules: readonly DesiredRule[]): Desired {
		return { sequence: 1n, rules, elsewhere: this.elsewhere };
	}

	observed(): Observed {
		const { links, workers, workersDown, open, limits, nowMs } = this;
		return { links, workers, workersDown, open, limits, nowMs };
	}

	/** As the applier does: stops after the first kind of which one was refused. Returns what was tried. */
	execute(commands: readonly Command[]): Command[] {
		const executed: Command[] = [];
		let refusedKind: string | undefined;
		for (const command of commands) {
			if (refusedKind !== undefined && command.kind !== refusedKind) break;
			executed.push(command);
			const key = keyOf(command);
			const reason = key === undefined ? undefined : this.refuse.get(key);
			if (key !== undefined && reason !== undefined) {
				this.open.failures.set(key, { reason, retryAtMs: this.nowMs + 250 });
				refusedKind = command.kind;
			} else {
				if (key !== undefined) this.open.failures.delete(key);
				this.#execute(command);
			}
		}
		return executed;
	}

	#execute(command: Command): void {
		const { open } = this;
		switch (command.kind) {
			case "welcome-worker":
				this.workers = this.workers.map((worker) =>
					worker.slot === command.slot ? { ...worker, phase: "running" } : worker,
				);
				if (open.table !== undefined) open.tableInForce = true;
				for (const [ifindex, shards] of open.shards) {
					const own = { driver: { slot: command.slot } };
					open.shards.set(ifindex, { ...shards, shards: shards.shards.with(command.slot, own) });
				}
				return;
			case "forget-failure":
				open.failures.delete(command.key);
				return;
			case "open-shards":
				open.shards.set(command.link.ifindex, {
					ifindex: command.link.ifindex,
					ringBytes: command.ringBytes,
					deaf: false,
					shards: this.workers.map(({ slot, phase }) => ({
						driver: phase === "running" ? { slot } : undefined,
					})),
				});
				return;
			case "hand-over": {
				const shards = open.shards.get(command.ifindex);
				if (shards === undefined) throw new Error("no such shards");
				const driven = shards.shards.with(command.shard, { driver: { slot: command.to } });
				open.shards.set(command.ifindex, { ...shards, shards: driven });
				return;
			}
			case "close-shards":
				open.shards.delete(command.ifindex);
				for (const [key, { ifindex }] of open.destinations) {
					if (ifindex === command.ifindex) open.destinations.delete(key);
				}
				return;
			case "open-egress":
				open.egress.set(command.egress.key, command.egress);
				return;
			case "close-egress":
				open.egress.delete(command.egress.key);
				return;
			case "open-drain":
				open.drains.set(command.drain.key, command.drain);
				return;
			case "close-drain":
				open.drains.delete(command.drain.key);
				return;
			case "install-table":
				for (const row of command.table.rules) {
					if (!row.dormant && !open.shards.has(row.ifindex)) throw new Error("table before shards");
					for (const { egress } of row.outputs) {
						if (egress !== undefined && !open.egress.has(egress)) throw new Error("table before egress");
					}
				}
				open.table = command.table;
				open.tableInForce = this.workers.some(({ phase }) => phase === "running");
				return;
			case "add-destination":
				open.destinations.set(command.destination.key, command.destination);
				return;
			case "remove-destination":
				open.destinations.delete(command.destination.key);
				return;
			case "join":
			case "rejoin":
				open.memberships.set(command.membership.key, command.membership);
				return;
			case "leave":
				open.memberships.delete(command.membership.key);
		}
	}
}

function keyOf(command: Command): string | undefined {
	if ("key" in command) return undefined;
	if ("egress" in command) return command.kind === "open-egress" ? command.egress.key : undefined;
	if ("drain" in command) return command.kind === "open-drain" ? command.drain.key : undefined;
	if ("destination" in command) {
		return command.kind === "add-destination" ? command.destination.key : undefined;
	}
	if ("membership" in command) return command.kind === "leave" ? undefined : command.membership.key;
	if (command.kind === "hand-over") return driverKey(command.ifindex, command.shard);
	if (command.kind === "open-shards") return shardsKey(command.link.ifindex);
	return command.kind === "install-table" ? TABLE_KEY : undefined;
}

/** One word and what it is about, for expectations that read like a log. */
function describe(command: Command): string {
	switch (command.kind) {
		case "welcome-worker":
			return `welcome ${command.slot}`;
		case "hand-over":
			return `hand #${command.ifindex}/${command.shard} to ${command.to}`;
		case "forget-failure":
			return `forget ${command.key}`;
		case "open-shards":
			return `shards ${command.link.name}#${command.link.ifindex}`;
		case "close-shards":
			return `no-shards #${command.ifindex}`;
		case "open-egress":
			return `egress #${command.egress.ifindex}:${command.egress.sourcePort}`;
		case "close-egress":
			return `no-egress #${command.egress.ifindex}:${command.egress.sourcePort}`;
		case "open-drain":
			return `drain #${command.drain.ifindex}:${command.drain.port}`;
		case "close-drain":
			return `no-drain #${command.drain.ifindex}:${command.drain.port}`;
		case "install-table":
			return `table ${command.table.rules.map((row) => row.uid + (row.dormant ? "(dormant)" : "")).join(",")}`;
		case "add-destination":
			return `filter #${command.destination.ifindex} ${dotted(command.destination.address)}`;
		case "remove-destination":
			return `no-filter #${command.destination.ifindex} ${dotted(command.destination.address)}`;
		default: {
			const { ifindex, group, source } = command.membership;
			return `${command.kind} #${ifindex} (${source === 0 ? "*" : dotted(source)},${dotted(group)})`;
		}
	}
}

function dotted(address: number): string {
	return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join(".");
}
