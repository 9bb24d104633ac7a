import { DataplaneError } from "@sluice/dataplane/errors";
import { ATTACH_SHARD, MESSAGE } from "@sluice/dataplane/layout";
import type { RuleRecord } from "@sluice/dataplane/records";
import { createLogger } from "@sluice/lib/log";
import { WorkerChannel } from "../../worker-processes/worker-channel.ts";
import type { Dataplane, Tables } from "../dataplane.ts";
import type { ConnectedWorker, Workers } from "../workers.ts";

const KINDS = ["", "counters", "attach", "detach", "add-egress", "remove-egress", "table", "note", "stop"];

const CONNECTION_OF_SLOT_0 = 100;

/** The kernel and the workers in memory: every descriptor is accounted for, every message is kept. */
export class FakeHost implements Workers {
	/** Open descriptors and what they are. */
	readonly descriptors = new Map<number, string>();
	/** "0 table": worker 0 got a table. */
	readonly messages: string[] = [];
	readonly zeroed: number[] = [];
	/** Shard state and counter memory. */
	readonly settled: [number, number][] = [];
	/** By shard state: the worker that drove it last. */
	readonly lastDrivers = new Map<number, number>();
	/** By shard, as connections. */
	readonly successors = new Map<number, { driver: number; successor: number; sequence: bigint }>();
	readonly restarted: string[] = [];
	/** Workers that hold everything. */
	readonly runningSlots = new Set<number>();
	/** Those of them that are to be replaced. */
	readonly drainingSlots = new Set<number>();
	/** What the kernel is to refuse: name of the call → errno. */
	readonly refuse = new Map<string, number>();
	/** What workers answer: kind of message → errno. */
	readonly answer = new Map<string, number>();
	/** Messages of these kinds are left without an answer. */
	readonly silent = new Set<string>();
	readonly admitted = new Set<number>();
	table: RuleRecord[] = [];
	/** Told of each worker that ends. */
	onEnded: (channel: WorkerChannel) => void = () => {};
	readonly #channels = new Map<number, WorkerChannel>();
	readonly #unanswered: bigint[] = [];
	#lastDescriptor = 2;

	constructor(readonly workerCount: number) {
		for (let slot = 0; slot < workerCount; slot += 1) {
			this.runningSlots.add(slot);
			this.connect(slot);
		}
	}

	/** A (new) worker connects. */
	connect(slot: number): WorkerChannel {
		const channel = new WorkerChannel(slot + CONNECTION_OF_SLOT_0, (_, message) => {
			const kind = KINDS[new DataView(message.buffer).getUint32(MESSAGE.kind, true)] ?? "?";
			const sequence = new DataView(message.buffer).getBigUint64(MESSAGE.sequence, true);
			this.messages.push(`${slot} ${kind}`);
			if (this.silent.has(kind)) this.#unanswered.push(sequence);
			else {
				queueMicrotask(() => channel.acknowledge(sequence, this.answer.get(kind) ?? 0, 0));
			}
			return "sent";
		});
		this.#channels.set(slot, channel);
		return channel;
	}

	/** It answers at last what it was told with one of the kinds that were silent. */
	answerLate(slot: number): void {
		for (const sequence of this.#unanswered.splice(0)) this.channel(slot).acknowledge(sequence, 0, 0);
	}

	/** The worker's process ends. */
	end(slot: number): void {
		const channel = this.channel(slot);
		this.runningSlots.delete(slot);
		channel.close();
		this.onEnded(channel);
	}

	/** The data plane sees its end and carries out what was decided for it. The events, yet to be read. */
	carryOut(slot: number): { shard: number; successor: number; sequence: bigint }[] {
		const due = [...this.successors].filter(([, { driver }]) => driver === slot + CONNECTION_OF_SLOT_0);
		for (const [shard] of due) this.successors.delete(shard);
		return due.map(([shard, { successor, sequence }]) => ({ shard, successor, sequence }));
	}

	channel(slot: number): WorkerChannel {
		const channel = this.#channels.get(slot);
		if (channel === undefined) throw new Error(`worker ${slot} is not connected`);
		return channel;
	}

	/** The messages since the last call. */
	takeMessages(): string[] {
		return this.messages.splice(0);
	}

	kinds(): string[] {
		return [...this.descriptors.values()].sort();
	}

	running(): readonly ConnectedWorker[] {
		return [...this.runningSlots].map((slot) => ({ slot, channel: this.channel(slot) }));
	}

	draining(): readonly number[] {
		return [...this.drainingSlots].filter((slot) => this.runningSlots.has(slot));
	}

	connected(slot: number): ConnectedWorker | undefined {
		const channel = this.#channels.get(slot);
		return channel === undefined ? undefined : { slot, channel };
	}

	markRunning(slot: number): void {
		this.runningSlots.add(slot);
	}

	restart(slot: number, reason: string): void {
		this.restarted.push(`${slot}: ${reason}`);
		this.end(slot);
	}

	make(call: string, what: string): number {
		const errno = this.refuse.get(call);
		if (errno !== undefined) throw new DataplaneError(call, errno, "refused");
		this.#lastDescriptor += 1;
		this.descriptors.set(this.#lastDescriptor, what);
		return this.#lastDescriptor;
	}

	readonly dataplane: Dataplane = {
		createFilter: () => ({
			programFd: this.make("createFilter", "program"),
			mapFd: this.make("createFilter", "map"),
		}),
		admitAddress: (_, address) => {
			const errno = this.refuse.get("admitAddress");
			if (errno !== undefined) throw new DataplaneError("admitAddress", errno, "refused");
			this.admitted.add(address);
		},
		dismissAddress: (_, address) => this.admitted.delete(address),
		planRing: (_mtu, bytes, vnetHeader) => ({
			blockBytes: 4096,
			blockCount: bytes / 4096,
			frameBytes: 2048,
			frameCount: bytes / 2048,
			vnetHeader,
		}),
		openShards: (_ifindex, count) => Array.from({ length: count }, () => this.make("openShards", "shard")),
		isBound: () => true,
		createShardState: () => this.make("createShardState", "state"),
		watchWorker: () => {},
		nameSuccessor: (driver, successor, attach) => {
			const shard = new DataView(attach.buffer).getUint32(ATTACH_SHARD.shard, true);
			if (this.successors.has(shard)) throw new Error(`shard ${shard} has a successor`);
			const sequence = new DataView(attach.buffer).getBigUint64(MESSAGE.sequence, true);
			this.successors.set(shard, { driver, successor, sequence });
		},
		withdrawSuccessor: (shard) => this.successors.delete(shard),
		driverOfShard: (state) => this.lastDrivers.get(state),
		settleShard: (state, counters) => {
			this.settled.push([state, counters]);
		},
		zeroCounters: (_fd, index) => {
			this.zeroed.push(index);
		},
		openMembership: () => this.make("openMembership", "membership"),
		joinGroup: () => true,
		leaveGroup: () => true,
		openDrain: () => this.make("openDrain", "drain"),
		openEgress: () => this.make("openEgress", "egress"),
		closeDescriptor: (fd) => {
			if (!this.descriptors.delete(fd)) throw new Error(`descriptor ${fd} is closed twice`);
		},
	};

	readonly builder: Tables = {
		reset: () => {
			this.table = [];
		},
		addRule: (record) => this.table.push(record) - 1,
		addInterface: () => {},
		build: () => this.make("build", "table"),
	};
}

export const silentLog = createLogger({ service: "test", destination: { write: () => {} } }).facility(
	"workers",
);
