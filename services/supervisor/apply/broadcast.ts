import { WorkerGone } from "../worker-processes/worker-channel.ts";
import type { ConnectedWorker, Workers } from "./workers.ts";

export interface Refusal {
	readonly worker: ConnectedWorker;
	readonly thrown: unknown;
}

export interface BroadcastResult {
	/** How many workers acknowledged. */
	readonly acknowledged: number;
	readonly refusals: readonly Refusal[];
}

/**
 * Does the same with every running worker at once. Who dies meanwhile is passed
 * over: its successor gets everything when it comes.
 */
export async function broadcast(
	workers: Workers,
	send: (worker: ConnectedWorker) => Promise<void>,
): Promise<BroadcastResult> {
	let acknowledged = 0;
	const refusals: Refusal[] = [];
	await Promise.all(
		workers.running().map(async (worker) => {
			try {
				await send(worker);
				acknowledged += 1;
			} catch (thrown) {
				if (!(thrown instanceof WorkerGone)) refusals.push({ worker, thrown });
			}
		}),
	);
	return { acknowledged, refusals };
}
