import { DataplaneError } from "@sluice/dataplane/errors";
import { countersMessage } from "@sluice/dataplane/messages";
import { TableError } from "@sluice/dataplane/records";
import type { Logger } from "../logger.ts";
import { driverKey, ruleKey, shardsKey, TABLE_KEY } from "../reconcile/keys.ts";
import type { Command, Destination, Drain, Membership, Table } from "../reconcile/types.ts";
import { CommandRefused, WorkerGone } from "../worker-processes/worker-channel.ts";
import type { Dataplane } from "./dataplane.ts";
import type { EgressOpener } from "./egress.ts";
import type { MembershipPool } from "./membership-pool.ts";
import type { OpenEgress, OpenResources } from "./open-resources.ts";
import { describeRefusal } from "./refusal.ts";
import type { ShardDrivers } from "./shard-drivers.ts";
import type { ShardOpener } from "./shards.ts";
import type { TableInstaller } from "./tables.ts";
import type { ConnectedWorker, Workers } from "./workers.ts";

const EBUSY = 16;

export interface ApplierParts {
	readonly dataplane: Dataplane;
	readonly workers: Workers;
	readonly open: OpenResources;
	readonly shards: ShardOpener;
	readonly drivers: ShardDrivers;
	readonly egress: EgressOpener;
	readonly tables: TableInstaller;
	readonly memberships: MembershipPool;
	/** By worker slot. */
	readonly counterMemories: readonly number[];
	readonly reconcileLog: Logger;
	readonly membershipLog: Logger;
}

/** Executes what reconcile() commanded. */
export class Applier {
	readonly #parts: ApplierParts;

	constructor(parts: ApplierParts) {
		this.#parts = parts;
	}

	/**
	 * Commands of one kind go out together, the next kind when all of them are
	 * acknowledged. Stops after a kind of which one was refused: what follows was
	 * planned as if it had not been.
	 */
	async execute(commands: readonly Command[]): Promise<void> {
		for (const group of groupByKind(commands)) {
			const outcomes: Promise<boolean>[] = [];
			for (const command of group) {
				for (const { channel } of this.#parts.workers.running()) if (channel.full) await channel.room();
				outcomes.push(this.#attempt(command));
			}
			if ((await Promise.all(outcomes)).includes(false)) return;
		}
	}

	/** True when done. Never rejects. */
	async #attempt(command: Command): Promise<boolean> {
		const { open, reconcileLog } = this.#parts;
		const key = keyOf(command);
		try {
			await this.#perform(command);
			if (key !== undefined && open.failureLog.forget(key)) {
				reconcileLog.info({ command: command.kind, key }, "succeeded after failures");
			}
			reconcileLog.debug({ command: command.kind, key }, "done");
			return true;
		} catch (thrown) {
			const reason = describeRefusal(command, thrown);
			const blamed = blamedRule(command, thrown) ?? key;
			const news = blamed !== undefined && open.failureLog.record(blamed, reason, performance.now());
			reconcileLog[news || key === undefined ? "warn" : "debug"](
				{ command: command.kind, key: blamed },
				reason,
			);
			// A round of refusals waits for nothing else: that a link is gone, which may be why, is heard before the next pass.
			await new Promise((resolve) => setImmediate(resolve));
			return blamed === undefined;
		}
	}

	async #perform(command: Command): Promise<void> {
		const { open, shards, drivers, egress, tables } = this.#parts;
		switch (command.kind) {
			case "welcome-worker":
				return await this.#welcome(command.slot);
			case "hand-over":
				await drivers.handOver(command);
				return;
			case "forget-failure":
				open.failureLog.forget(command.key);
				return;
			case "open-shards":
				return await shards.open(command.link, command.ringBytes);
			case "close-shards":
				return await shards.close(command.ifindex);
			case "open-egress":
				return await egress.open(command.egress);
			case "close-egress":
				await drivers.handedOver();
				return await egress.close(command.egress.key);
			case "open-drain":
				return this.#openDrain(command.drain);
			case "close-drain":
				return this.#closeDrain(command.drain.key);
			case "install-table":
				await drivers.handedOver();
				await tables.install(command.table, (key) => egress.slotOf(key));
				this.#forgetRefusedRules(command.table);
				return;
			case "add-destination":
				return this.#addDestination(command.destination);
			case "remove-destination":
				return this.#removeDestination(command.destination);
			case "join":
			case "rejoin":
				return this.#join(command.kind, command.membership);
			case "leave":
				return this.#leave(command.membership);
		}
	}

	/** Gives a worker that just came everything its predecessor had, or, as far as it is taken over, what it lacks. */
	async #welcome(slot: number): Promise<void> {
		const { dataplane, workers, open, drivers, tables, counterMemories } = this.#parts;
		const worker = workers.connected(slot);
		const memory = counterMemories[slot];
		if (worker === undefined || memory === undefined) return;
		try {
			await giveCounters(worker, memory);
			dataplane.watchWorker(worker.channel.connection, memory);
			await handOver(worker, open.egress.values(), (opened) => this.#giveEgress(worker, opened));
			await tables.handOver(worker, drivers.mayFinish(worker));
			// Last, so that the first frame finds its rule.
			await handOver(worker, open.shards.values(), (opened) => drivers.give(worker, opened, slot));
			if (open.table !== undefined) open.tableInForce = true;
			workers.markRunning(slot);
		} catch (thrown) {
			if (thrown instanceof WorkerGone) return;
			workers.restart(slot, describeRefusal({ kind: "welcome-worker", slot }, thrown));
		}
	}

	/** What the kernel refuses now is a failure of that output, not of the worker. */
	async #giveEgress(worker: ConnectedWorker, opened: OpenEgress): Promise<void> {
		const { egress, open, reconcileLog } = this.#parts;
		try {
			await egress.add(worker, opened);
		} catch (thrown) {
			if (!(thrown instanceof DataplaneError)) throw thrown;
			const reason = describeRefusal({ kind: "open-egress", egress: opened }, thrown);
			reconcileLog.warn({ key: opened.key }, reason);
			open.failureLog.record(opened.key, reason, performance.now());
			await egress.close(opened.key);
		}
	}

	#forgetRefusedRules(table: Table): void {
		const { open } = this.#parts;
		if (open.failures.size === 0) return;
		for (const { uid } of table.rules) open.failureLog.forget(ruleKey(uid));
	}

	#openDrain(drain: Drain): void {
		const { dataplane, open } = this.#parts;
		const socket = dataplane.openDrain(drain.ifindex, drain.address, drain.port);
		open.drains.set(drain.key, { ...drain, socket });
	}

	#closeDrain(key: string): void {
		const { dataplane, open } = this.#parts;
		const drain = open.drains.get(key);
		if (drain === undefined) return;
		open.drains.delete(key);
		if (drain.socket !== undefined) dataplane.closeDescriptor(drain.socket);
	}

	#addDestination(destination: Destination): void {
		const { dataplane, open } = this.#parts;
		const shards = open.shards.get(destination.ifindex);
		if (shards === undefined) throw new Error("the interface has no capture sockets");
		dataplane.admitAddress(shards.filter, destination.address);
		open.destinations.set(destination.key, destination);
	}

	#removeDestination(destination: Destination): void {
		const { dataplane, open } = this.#parts;
		open.destinations.delete(destination.key);
		const shards = open.shards.get(destination.ifindex);
		if (shards !== undefined) dataplane.dismissAddress(shards.filter, destination.address);
	}

	#join(kind: "join" | "rejoin", membership: Membership): void {
		const { open, memberships, membershipLog } = this.#parts;
		open.memberships.delete(membership.key);
		if (kind === "join") memberships.join(membership);
		else memberships.rejoin(membership);
		open.memberships.set(membership.key, membership);
		membershipLog.debug(membership, kind === "join" ? "joined" : "joined again");
	}

	#leave(membership: Membership): void {
		const { open, memberships, membershipLog } = this.#parts;
		open.memberships.delete(membership.key);
		memberships.leave(membership);
		membershipLog.debug(membership, "left");
	}
}

/** One that is taken over has them, and goes on counting. */
async function giveCounters({ channel }: ConnectedWorker, memory: number): Promise<void> {
	try {
		await channel.command(countersMessage, [memory]);
	} catch (thrown) {
		if (!(thrown instanceof CommandRefused && thrown.errno === EBUSY)) throw thrown;
	}
}

/** Many at once, no more than the channel takes. */
async function handOver<Item>(
	worker: ConnectedWorker,
	items: Iterable<Item>,
	give: (item: Item) => Promise<unknown>,
): Promise<void> {
	const given: Promise<unknown>[] = [];
	for (const item of [...items]) {
		await worker.channel.room();
		const promise = give(item);
		// Looked at below; it must not count as unhandled meanwhile.
		promise.catch(() => {});
		given.push(promise);
	}
	await Promise.all(given);
}

function groupByKind(commands: readonly Command[]): Command[][] {
	const groups: Command[][] = [];
	for (const command of commands) {
		const last = groups.at(-1);
		if (last?.[0]?.kind === command.kind) last.push(command);
		else groups.push([command]);
	}
	return groups;
}

/** A table is refused for one of its rules: only that one fails, the next table is without it. */
function blamedRule(command: Command, thrown: unknown): string | undefined {
	if (command.kind !== "install-table" || !(thrown instanceof TableError)) return undefined;
	const row = thrown.ruleIndex === undefined ? undefined : command.table.rules[thrown.ruleIndex];
	return row === undefined ? undefined : ruleKey(row.uid);
}

/** Under which key a refusal is remembered; undefined for what takes away or follows events. */
function keyOf(command: Command): string | undefined {
	switch (command.kind) {
		case "hand-over":
			return driverKey(command.ifindex, command.shard);
		case "open-shards":
			return shardsKey(command.link.ifindex);
		case "open-egress":
			return command.egress.key;
		case "open-drain":
			return command.drain.key;
		case "install-table":
			return TABLE_KEY;
		case "add-destination":
			return command.destination.key;
		case "join":
		case "rejoin":
			return command.membership.key;
		default:
			return undefined;
	}
}
