import { errorText } from "@sluice/lib/errors";
import type { Child } from "./child.ts";
import type { DataDir } from "./data-dir.ts";
import type { LogRecord } from "./log-line.ts";
import type { KeeperLog } from "./log-stream.ts";

const LOOK_EACH_MS = 1_000;
/** A quota of the server's user, or a disk that fails now and then, lets us write and not the server. */
const EARLIEST_AGAIN_MS = 10_000;
const STOP_GRACE_MS = 5_000;

export interface WriteWatch {
	/** To be called with each record of the server. */
	see(record: LogRecord): void;
	/** Everything is being stopped: the server is not to be started anew amid that. */
	end(): void;
}

/** What an atomic batch collects has a store of its own: the stream goes on, and a restart would only come amid an undo. */
function ofBatch(msg: string): boolean {
	return msg.includes("/batches/");
}

/**
 * After one failed write nats-server 2.14 and newer takes none of that stream any more, whatever room the disk has
 * by then, until it is started anew (ADR 0123): that is done as soon as its folder can be written.
 */
export function restartWhenWritable(
	server: () => Pick<Child, "restart">,
	dataDir: Pick<DataDir, "canStore">,
	log: KeeperLog,
): WriteWatch {
	let timer: Timer | undefined;
	let looking = false;
	let notBeforeMs = 0;
	let ended = false;
	const rest = () => {
		clearInterval(timer);
		timer = undefined;
	};
	const look = async () => {
		if (looking || performance.now() < notBeforeMs) return;
		looking = true;
		try {
			if (!(await dataDir.canStore()) || timer === undefined) return;
			log.warn("the data directory can be written again: nats-server is started anew");
			notBeforeMs = performance.now() + EARLIEST_AGAIN_MS;
			await server().restart(STOP_GRACE_MS);
			rest();
		} catch (thrown) {
			log.error(`nats-server cannot be started anew: ${errorText(thrown)}`);
		} finally {
			looking = false;
		}
	};
	return {
		see({ msg }) {
			if (ended || timer !== undefined || !/critical write error/i.test(msg) || ofBatch(msg)) return;
			log.warn(
				"nats-server could not write: rules flow, but cannot be changed until the data directory has room, " +
					"or is writable, again; nats-server is started anew then",
			);
			timer = setInterval(() => void look(), LOOK_EACH_MS);
		},
		end() {
			ended = true;
			rest();
		},
	};
}
