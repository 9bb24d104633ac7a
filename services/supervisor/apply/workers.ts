import type { WorkerChannel } from "../worker-processes/worker-channel.ts";

export interface ConnectedWorker {
	readonly slot: number;
	readonly channel: WorkerChannel;
}

/** The workers as whoever applies commands sees them. */
export interface Workers {
	/** Those that hold everything that is open. Only they are waited for. */
	running(): readonly ConnectedWorker[];
	/** Those among them that are about to be replaced: they are to drive no shard. Slots. */
	draining(): readonly number[];
	/** Any worker that said hello. */
	connected(slot: number): ConnectedWorker | undefined;
	/** The worker holds everything now. */
	markRunning(slot: number): void;
	/** Ends a worker that cannot go on; it is started again with backoff. */
	restart(slot: number, reason: string): void;
}
