import { attachShardMessage } from "@sluice/dataplane/messages";
import type { WorkerChannel } from "../worker-processes/worker-channel.ts";
import type { Dataplane } from "./dataplane.ts";
import type { OpenShard, OpenShards } from "./open-resources.ts";
import type { ConnectedWorker } from "./workers.ts";

/** A shard that went to the worker that was named for it. */
export interface Succeeded {
	readonly shard: OpenShard;
	readonly to: ConnectedWorker;
	/** When its ATTACH_SHARD was acknowledged (µs, see AckEvent). */
	readonly acknowledged: Promise<number>;
}

interface Named {
	readonly driver: WorkerChannel;
	readonly to: ConnectedWorker;
	readonly sequence: bigint;
	readonly carriedOut: PromiseWithResolvers<void>;
}

/**
 * Whom the data plane gives a shard when its driver ends, without asking: this process has
 * other things to do in that moment, and gets no processor for some. One decision for each
 * shard, in force until it is withdrawn or carried out.
 */
export class Succession {
	readonly #dataplane: Pick<Dataplane, "nameSuccessor" | "withdrawSuccessor">;
	readonly #counterMemories: readonly number[];
	readonly #named = new Map<OpenShard, Named>();

	/** @param counterMemories By worker slot. */
	constructor(
		dataplane: Pick<Dataplane, "nameSuccessor" | "withdrawSuccessor">,
		counterMemories: readonly number[],
	) {
		this.#dataplane = dataplane;
		this.#counterMemories = counterMemories;
	}

	/** Undefined: nobody. */
	name({ ifindex, ring }: OpenShards, shard: OpenShard, to: ConnectedWorker | undefined): void {
		const { driver } = shard;
		const named = this.#named.get(shard);
		if (named?.to.channel === to?.channel && (named === undefined || named.driver === driver?.channel))
			return;
		if (this.withdraw(shard) !== undefined || to === undefined || driver === undefined) return;
		const counters = this.#counterMemories[driver.slot];
		if (counters === undefined) return;
		const sequence = to.channel.reserve();
		this.#dataplane.nameSuccessor(
			driver.channel.connection,
			to.channel.connection,
			attachShardMessage(sequence, shard.id, ifindex, ring),
			{ socket: shard.socket, state: shard.state, counters },
		);
		const carriedOut = Promise.withResolvers<void>();
		this.#named.set(shard, { driver: driver.channel, to, sequence, carriedOut });
	}

	/** Undefined: nobody is named any more. Otherwise it is too late, and `carriedOut` will be called. */
	withdraw(shard: OpenShard): Promise<void> | undefined {
		const named = this.#named.get(shard);
		if (named === undefined) return undefined;
		if (!this.#dataplane.withdrawSuccessor(shard.id)) return named.carriedOut.promise;
		this.#named.delete(shard);
		return undefined;
	}

	/** All that can still be withdrawn. */
	withdrawAll(): void {
		for (const shard of [...this.#named.keys()]) this.withdraw(shard);
	}

	/**
	 * The data plane says so. `drive` notes the new driver before anybody hears of it who waits
	 * in withdraw().
	 */
	carriedOut(sequence: bigint, id: number, drive: (succeeded: Succeeded) => void): void {
		for (const [shard, named] of this.#named) {
			if (shard.id !== id || named.sequence !== sequence) continue;
			this.#named.delete(shard);
			drive({ shard, to: named.to, acknowledged: named.to.channel.answered(sequence) });
			named.carriedOut.resolve();
			return;
		}
	}
}
