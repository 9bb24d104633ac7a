import type { DataplaneEvent } from "@sluice/dataplane/events";
import type { Logger } from "../logger.ts";
import type { Fleet } from "./fleet.ts";
import { type SendMessage, WorkerChannel } from "./worker-channel.ts";

export interface HubOptions {
	readonly fleet: Fleet;
	readonly send: SendMessage;
	readonly disconnect: (connection: number) => void;
	/** What this program speaks; a worker must speak the same. */
	readonly abiVersion: number;
	/** The data plane gave a shard to who was named for it. */
	readonly onSucceeded: (sequence: bigint, shard: number) => void;
	/** Nothing enters the ring of that shard any more, says who drives it. */
	readonly onDeaf: (shard: number, slot: number) => void;
	/** Links or addresses changed. */
	readonly onLinks: () => void;
	readonly log: Logger;
}

/** Gives each event of the data plane to whom it concerns. */
export function dispatch(event: DataplaneEvent, options: HubOptions): void {
	const { fleet, send, disconnect, abiVersion, onSucceeded, onDeaf, onLinks, log } = options;
	switch (event.kind) {
		case "links":
			onLinks();
			return;
		case "ack":
			fleet.acknowledge(event.connection, event.sequence, event.errno, event.atUs);
			return;
		case "succeeded":
			onSucceeded(event.sequence, event.shard);
			return;
		case "holds":
			fleet.hold(event.connection, event.shard);
			return;
		case "gone":
			fleet.disconnect(event.connection);
			return;
		case "hangs":
			fleet.hangs(event);
			return;
		case "deaf": {
			const slot = fleet.slotOf(event.connection);
			if (slot !== undefined) onDeaf(event.shard, slot);
			return;
		}
		case "failed":
			log.error(
				{ worker: fleet.slotOf(event.connection), pid: event.pid, errno: event.errno },
				"packet thread failed",
			);
			return;
		case "hello": {
			const { connection, pid, worker, holds } = event;
			const known = event.abiVersion === abiVersion;
			if (known && fleet.connect(worker, pid, new WorkerChannel(connection, send), holds)) return;
			const why = known ? "is none of ours" : `speaks ABI version ${event.abiVersion}, not ${abiVersion}`;
			log.warn({ worker, pid }, `a process that ${why} was turned away`);
			disconnect(connection);
		}
	}
}
