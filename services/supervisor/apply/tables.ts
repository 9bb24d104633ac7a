import { installTableMessage } from "@sluice/dataplane/messages";
import type { Table } from "../reconcile/types.ts";
import { broadcast } from "./broadcast.ts";
import { type BlockLayout, CounterBlocks } from "./counter-blocks.ts";
import type { Dataplane, Tables } from "./dataplane.ts";
import type { OpenResources } from "./open-resources.ts";
import { interfaceOwner, uidOfOwner } from "./owners.ts";
import { type BlockSizes, buildRecords } from "./table-records.ts";
import type { ConnectedWorker, Workers } from "./workers.ts";

export interface TablesOptions {
	/** Of one worker's counter memory, in u64. */
	readonly counterCapacity: number;
	/** The worker's own, at the start. */
	readonly workerCounters: number;
	readonly blockSizes: BlockSizes;
	/** One counter memory per worker slot. */
	readonly counterMemories: readonly number[];
	/** Writes down what a successor must know of a table, before a worker has it. */
	readonly note?: () => void;
	/** The same for tables that are the same to the byte. */
	readonly fingerprint?: (descriptor: number) => string;
	/** Keeps the table for a successor, in place of the one before. */
	readonly keep?: (descriptor: number) => void;
}

/** What a successor must know of tables. */
export interface TableNotes {
	readonly generation: string;
	readonly fingerprint: string;
	readonly blocks: BlockLayout;
	readonly interfaces: readonly string[];
}

/** Builds tables and puts them in force; owns the counter memory's layout. */
export class TableInstaller {
	readonly #dataplane: Dataplane;
	readonly #builder: Tables;
	readonly #workers: Workers;
	readonly #open: OpenResources;
	readonly #options: TablesOptions;
	readonly #blocks: CounterBlocks;
	/** Interfaces keep their counters for good: there are few, and figures must not step back. */
	readonly #interfaces = new Set<string>();
	#generation = 0n;
	/** Of that generation's table. */
	#fingerprint = "";
	/** The table before the one in force: a worker may have died in a batch of that one. */
	#before: number | undefined;

	constructor(
		dataplane: Dataplane,
		builder: Tables,
		workers: Workers,
		open: OpenResources,
		options: TablesOptions,
	) {
		this.#dataplane = dataplane;
		this.#builder = builder;
		this.#workers = workers;
		this.#open = open;
		this.#options = options;
		this.#blocks = new CounterBlocks(options.counterCapacity, options.workerCounters);
	}

	notes(): TableNotes {
		return {
			generation: String(this.#generation),
			fingerprint: this.#fingerprint,
			blocks: this.#blocks.layout(),
			interfaces: [...this.#interfaces],
		};
	}

	/**
	 * Counters, and tables if workers have any, are by the word of the supervisor before this one.
	 * @param table its last.
	 */
	adopt({ generation, fingerprint, blocks, interfaces }: TableNotes, table?: number): void {
		this.#before = table;
		this.#generation = BigInt(generation);
		this.#fingerprint = fingerprint;
		this.#blocks.adopt(blocks);
		for (const owner of interfaces) this.#interfaces.add(owner);
		for (const [owner] of blocks.owned) {
			const uid = uidOfOwner(owner);
			if (uid !== undefined) this.#open.restored.add(uid);
		}
	}

	/** Not before no batch is left that was begun with another table than the one in force. */
	async install(table: Table, egressSlot: (key: string) => number): Promise<void> {
		this.#recycle();
		const { blockSizes } = this.#options;
		const { rules, interfaces, owners } = buildRecords(table, egressSlot, this.#blocks, blockSizes);
		this.#builder.reset();
		for (const record of rules) this.#builder.addRule(record);
		for (const record of interfaces) this.#builder.addInterface(record);
		const descriptor = this.#build();
		if (this.#open.tableDescriptor !== undefined) {
			if (this.#before !== undefined) this.#dataplane.closeDescriptor(this.#before);
			this.#before = this.#open.tableDescriptor;
		}
		this.#options.note?.();
		this.#options.keep?.(descriptor);
		this.#open.table = table;
		this.#open.tableDescriptor = descriptor;
		this.#open.tableInForce = false;
		const { acknowledged, refusals } = await broadcast(this.#workers, (worker) => this.handOver(worker));
		for (const { worker, thrown } of refusals) {
			this.#workers.restart(worker.slot, `it refused a table: ${String(thrown)}`);
		}
		if (acknowledged > 0) this.#open.tableInForce = true;
		for (const { name } of table.interfaces) this.#interfaces.add(interfaceOwner(name));
		this.#blocks.retire(owners.union(this.#interfaces));
		this.#open.restored.clear();
	}

	/**
	 * The table of a supervisor before this one keeps its generation when it is the same: a batch
	 * that a worker left half sent is finished only with the table that it was begun with.
	 */
	#build(): number {
		const { fingerprint = () => "" } = this.#options;
		if (this.#open.table === undefined && this.#fingerprint !== "") {
			const descriptor = this.#builder.build(this.#generation);
			if (fingerprint(descriptor) === this.#fingerprint) return descriptor;
			this.#dataplane.closeDescriptor(descriptor);
		}
		const descriptor = this.#builder.build(this.#generation + 1n);
		this.#generation += 1n;
		this.#fingerprint = fingerprint(descriptor);
		return descriptor;
	}

	/**
	 * Resolves when the worker has the current table in force.
	 * @param withBefore it drives nothing yet, and may get a batch that was begun with the table before.
	 */
	async handOver({ channel }: ConnectedWorker, withBefore = false): Promise<void> {
		const { tableDescriptor } = this.#open;
		if (tableDescriptor === undefined) return;
		const tables = withBefore ? [this.#before, tableDescriptor] : [tableDescriptor];
		for (const table of tables) {
			if (table !== undefined) await channel.command((sequence) => installTableMessage(sequence), [table]);
		}
	}

	/**
	 * The table in force does not name them, and with the one that did no batch is left: one table
	 * later than it was replaced.
	 */
	#recycle(): void {
		this.#blocks.recycle(({ index, count }) => {
			for (const memory of this.#options.counterMemories) {
				this.#dataplane.zeroCounters(memory, index, count);
			}
		});
	}
}
