/** Every case on every peer: set up side by side, measured in turn. */

import { isDeepStrictEqual } from "node:util";
import type { Case, Effort, Figures, Lane, Variant } from "./cases/case.ts";
import type { Load } from "./load.ts";
import { describeWire, Network, type Placement, UNPINNED, type Wire } from "./network.ts";
import type { Peer, Running, Task } from "./peers/peer.ts";
import { forwards, type Trial, tryLoad } from "./trial.ts";

/** One peer's figures in one variant of a case, or why there are none. */
export interface Row {
	readonly case: string;
	readonly variant: string;
	/** How bursts cross the cables. */
	readonly wire: string;
	readonly peer: string;
	readonly skipped: string | undefined;
	readonly figures: Figures;
	readonly samples: readonly (Trial | Readonly<Record<string, number>>)[];
}

interface Turn {
	readonly case: Case;
	readonly variant: Variant;
}

interface Kept {
	readonly wire: Wire;
	readonly task: Task;
	readonly network: Network;
	readonly running: Running;
}

interface Standing {
	readonly peer: Peer;
	readonly network: Network | undefined;
	readonly running: Running | undefined;
	/** Why it does not take part. */
	readonly reason: string | undefined;
}

/** Variants of the same task on the same wire, so that peers are started once for all of them. */
function setups(cases: readonly Case[]): Turn[][] {
	const turns = cases.flatMap((one) => one.variants.map((variant): Turn => ({ case: one, variant })));
	const groups = Map.groupBy(turns, ({ variant }) => JSON.stringify([variant.task, variant.wire]));
	return [...groups.values()];
}

export class Bench {
	readonly #networks = new Set<Network>();
	readonly #running = new Set<Running>();
	/** Those that can turn from one task to another. */
	readonly #kept = new Map<Peer, Kept>();
	#stopped = false;
	#rows = 0;
	#rowsDone = 0;

	constructor(
		readonly peers: readonly Peer[],
		readonly effort: Effort,
		readonly cpus: Placement,
		readonly say: (line: string) => void,
	) {}

	async run(cases: readonly Case[]): Promise<Row[]> {
		const rows: Row[] = [];
		this.#rows = this.peers.length * cases.reduce((sum, { variants }) => sum + variants.length, 0);
		this.#rowsDone = 0;
		for (const turns of setups(cases)) rows.push(...(await this.#setup(turns)));
		const order = cases.flatMap((one) => one.variants.map(({ label }) => `${one.name} ${label}`));
		const place = (row: Row) => order.indexOf(`${row.case} ${row.variant}`);
		return rows.toSorted((a, b) => place(a) - place(b));
	}

	/** All peers stand ready, each in a network of its own; a peer that waits uses no CPU to speak of. */
	async #setup(turns: readonly Turn[]): Promise<Row[]> {
		const standing: Standing[] = [];
		for (const peer of this.peers) standing.push(await this.#start(peer, turns));
		const rows: Row[] = [];
		for (const turn of turns) {
			for (const one of standing) rows.push(await this.#measure(one, turn));
		}
		// What cannot turn to another task is not needed any more.
		for (const [peer, kept] of this.#kept) {
			if (kept.running.turnTo !== undefined) continue;
			this.#kept.delete(peer);
			await this.#end(kept);
		}
		return rows;
	}

	async #start(peer: Peer, turns: readonly Turn[]): Promise<Standing> {
		const [turn] = turns;
		if (turn === undefined) throw new Error("a setup without a turn");
		const { task, wire } = turn.variant;
		const reason =
			peer.absent() ?? peer.unable(task) ?? turns.map((one) => cannot(peer, one)).reduce((a, b) => a && b);
		const none = { peer, network: undefined, running: undefined };
		if (reason !== undefined) return { ...none, reason };
		try {
			const { network, running } = await this.#stand(peer, task, wire);
			if (await forwards(network, task, running)) return { peer, network, running, reason: undefined };
			const last = running.said().trim().split("\n").at(-1);
			return { ...none, reason: `it does not forward${last === "" ? "" : `: ${last}`}` };
		} catch (error) {
			this.#refuseWhenStopped();
			return { ...none, reason: `it did not start: ${firstLine(error)}` };
		}
	}

	/** The peer with this task: as it stands, if it can turn to it, or started anew. */
	async #stand(peer: Peer, task: Task, wire: Wire): Promise<Kept> {
		const kept = this.#kept.get(peer);
		const { workers, priority } = task;
		const fits =
			kept?.task.workers === workers && kept.task.priority === priority && isDeepStrictEqual(kept.wire, wire);
		if (fits && kept.running.turnTo !== undefined) {
			await kept.running.turnTo(task);
			return kept;
		}
		if (kept !== undefined) await this.#end(kept);
		this.#kept.delete(peer);
		const network = await Network.create(wire, workers > 1 ? UNPINNED : this.cpus);
		this.#networks.add(network);
		this.#refuseWhenStopped();
		const running = await peer.start(network, task);
		this.#running.add(running);
		const standing = { wire, task, network, running };
		this.#kept.set(peer, standing);
		return standing;
	}

	async #end({ network, running }: Kept): Promise<void> {
		this.#running.delete(running);
		this.#networks.delete(network);
		await running.stop();
		await network.remove();
	}

	async #measure({ peer, network, running, reason }: Standing, turn: Turn): Promise<Row> {
		const { case: of, variant } = turn;
		const row = {
			...{ case: of.name, variant: variant.label, wire: describeWire(variant.wire) },
			peer: peer.name,
		};
		const samples: (Trial | Readonly<Record<string, number>>)[] = [];
		const skipped = reason ?? cannot(peer, turn);
		const name = `[${++this.#rowsDone}/${this.#rows}] ${of.name}, ${variant.label}, ${peer.name}`;
		if (skipped !== undefined || network === undefined || running === undefined) {
			this.say(`${name}: skipped: ${skipped}`);
			return { ...row, skipped, figures: {}, samples };
		}
		const lane: Lane = {
			...{ network, running, task: variant.task },
			trial: async (load) => {
				this.#refuseWhenStopped();
				const trial = await tryLoad(network, running, variant.task, load);
				samples.push(trial);
				this.say(`${name}: ${describeTrial(load, trial)}`);
				return trial;
			},
			keep: (sample) => {
				samples.push(sample);
				this.say(`${name}: ${JSON.stringify(sample)}`);
			},
		};
		try {
			return { ...row, skipped: undefined, figures: await variant.measure(lane), samples };
		} catch (error) {
			this.#refuseWhenStopped();
			const reason = `it failed: ${firstLine(error)}`;
			this.say(`${name}: ${reason}`);
			return { ...row, skipped: reason, figures: {}, samples };
		}
	}

	/** What runs fails soon, and nothing more begins. */
	async stop(): Promise<void> {
		this.#stopped = true;
		await this.remove();
	}

	#refuseWhenStopped(): void {
		if (this.#stopped) throw new Error("stopped");
	}

	/** Whatever is there; after it nothing of this benchmark is. */
	async remove(): Promise<void> {
		const running = [...this.#running];
		const networks = [...this.#networks];
		this.#running.clear();
		this.#networks.clear();
		this.#kept.clear();
		await Promise.all(running.map((one) => one.stop()));
		await Promise.all(networks.map((network) => network.remove()));
	}
}

function cannot(peer: Peer, { case: of }: Turn): string | undefined {
	return peer.name === "sluice" ? undefined : of.sluiceOnly;
}

function firstLine(error: unknown): string {
	return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

function describeTrial(load: Load, trial: Trial): string {
	const lost = trial.lostPackets === 0 ? "none lost" : `${trial.lostPackets} lost`;
	const sink = trial.sinkDroppedPackets === 0 ? "" : `, ${trial.sinkDroppedPackets} dropped by the sink`;
	const cpu = `${(trial.cpuNsPerPacket / 1_000).toFixed(2)} µs/packet`;
	return `${Math.round(trial.offeredPps)}/s of ${load.ratePps}/s, ${lost}${sink}, ${cpu}`;
}
