import { release } from "node:os";
import type { NatsConnection } from "@nats-io/transport-node";
import { connectNats } from "@sluice/lib/connect";
import { EventPublisher, sayDropped } from "@sluice/lib/event-publisher";
import type { ServiceLogger } from "@sluice/lib/log";
import type { HostRecord } from "@sluice/proto/gen/host";
import { hostConnectionName } from "@sluice/proto/subjects";
import { followCluster, type LiveCluster } from "./cluster-view.ts";
import type { SupervisorConfig } from "./config.ts";
import { HostEvents } from "./events/host-events.ts";
import { type HostIdentity, type HostState, hostRecord } from "./record/host-record.ts";
import { VERSION } from "./version.ts";
import { allowedCores } from "./worker-processes/cores.ts";

export interface ClusterLinkOptions {
	readonly config: SupervisorConfig;
	readonly logger: ServiceLogger;
	readonly state: () => HostState;
	/** The host's last words are that it was stopped. */
	readonly isStopped: () => boolean;
	readonly fail: (reason: unknown) => never;
}

/** This host's way to its cluster, there or not, and what it says of itself there. */
export class ClusterLink {
	readonly #options: ClusterLinkOptions;
	readonly #identity: HostIdentity;
	#refused = false;
	#heard = false;
	#complaint = "";

	constructor(options: ClusterLinkOptions) {
		this.#options = options;
		const {
			hostId: host,
			installation,
			labels,
			incarnation,
			ringLimitBytes,
			idle,
			priority,
		} = options.config;
		this.#identity = {
			...{ host, installation, labels, incarnation, ringLimitBytes, idle, priority },
			version: VERSION,
			kernel: release(),
			cores: allowedCores().length,
		};
	}

	/** NATS is there, and does not let us in. */
	get refused(): boolean {
		return this.#refused;
	}

	/** NATS is there, and hears us. */
	get heard(): boolean {
		return this.#heard;
	}

	/** From now on the host is in the list with the reason, and in no rule's way. */
	complain(complaint: string): void {
		this.#complaint = complaint;
	}

	/** Waits for NATS and for the cluster's buckets, however long that takes. */
	async connect(): Promise<{ nc: NatsConnection; cluster: LiveCluster }> {
		const { config, logger, fail, state } = this.#options;
		const log = logger.facility("nats");
		const nc = await connectNats({
			url: config.natsUrl,
			credentials: config.credentials,
			name: hostConnectionName("supervisor", config.hostId),
			host: config.hostId,
			beat: config.hostId,
			onRefused: (why) => {
				this.#refused = true;
				log.error(why);
			},
			onUntrusted: (why) => log.error(why),
		});
		void this.#followHearing(nc);
		const events = new HostEvents(config.hostId, new EventPublisher(nc, sayDropped(log)));
		let told = state();
		const record = () => {
			told = state();
			return this.#record(told);
		};
		const cluster = await followCluster(nc, this.#identity, record, logger, fail, () => events.tell(told));
		return { nc, cluster };
	}

	#record(state: HostState): HostRecord {
		const record = { ...hostRecord(this.#identity, state), stopped: this.#options.isStopped() };
		if (this.#complaint === "") return record;
		return {
			...record,
			holding: this.#complaint,
			labels: {},
			interfaces: [],
			workers: [],
			exceptions: [],
		};
	}

	async #followHearing(nc: NatsConnection): Promise<void> {
		this.#heard = true;
		for await (const { type } of nc.status()) {
			if (type === "disconnect") this.#heard = false;
			else if (type === "reconnect") this.#heard = true;
		}
	}
}
