import { nkeyCredentials, serviceConfig } from "@sluice/lib/config";
import { relaySettings } from "@sluice/lib/relay-settings";
import { z } from "zod";

const MEBIBYTE = 2 ** 20;

/** What `up` tells the supervisor at its start. */
export const supervisorConfig = serviceConfig.extend({
	/** Tells this host from another that was given the same id; empty: not known. */
	installation: z.string().max(64).default(""),
	...relaySettings.shape,
	/** The workers': they may publish counters and nothing else. */
	workerCredentials: nkeyCredentials,
	/** Holds bun, worker.js and libsluice.so, where the workers' user can read them. */
	stageDir: z.string().startsWith("/"),
	workerUser: z.string().min(1),
	/** Where the rules are kept that flow when NATS is away at a start; absent: nothing is kept. */
	keepFile: z.string().startsWith("/").optional(),
	/** One ring; halved while the limit leaves no room for it. */
	shardBytes: z
		.int()
		.positive()
		.default(32 * MEBIBYTE),
});
export type SupervisorConfig = z.output<typeof supervisorConfig>;

export const SHARD_MINIMUM_BYTES = 2 * MEBIBYTE;
