import { nkeyCredentials, serviceConfig } from "@sluice/lib/config";
import { IDLE_STRATEGIES } from "@sluice/lib/idle-strategies";
import { labelComplaint } from "@sluice/lib/labels";
import { PRIORITIES } from "@sluice/lib/priorities";
import { z } from "zod";

const MEBIBYTE = 2 ** 20;

/** What `up` tells the supervisor at its start. */
export const supervisorConfig = serviceConfig.extend({
	/** Tells this host from another that was given the same id; empty: not known. */
	installation: z.string().max(64).default(""),
	labels: z
		.record(z.string(), z.string())
		.refine((labels) => labelComplaint(labels) === undefined, "are not labels"),
	/** Worker processes, one per core. */
	workers: z.int().min(1).max(64),
	/** The workers': they may publish counters and nothing else. */
	workerCredentials: nkeyCredentials,
	/** Holds bun, worker.js and libsluice.so, where the workers' user can read them. */
	stageDir: z.string().startsWith("/"),
	workerUser: z.string().min(1),
	/** Where the rules are kept that flow when NATS is away at a start; absent: nothing is kept. */
	keepFile: z.string().startsWith("/").optional(),
	/** What packet threads do when nothing is ready. */
	idle: z.enum(IDLE_STRATEGIES).default("adaptive"),
	/** How packet threads come before others. */
	priority: z.enum(PRIORITIES).default("nice"),
	/** Kernel memory for all receive rings together. */
	ringLimitBytes: z
		.int()
		.positive()
		.default(512 * MEBIBYTE),
	/** One ring; halved while the limit leaves no room for it. */
	shardBytes: z
		.int()
		.positive()
		.default(32 * MEBIBYTE),
});
export type SupervisorConfig = z.output<typeof supervisorConfig>;

export const SHARD_MINIMUM_BYTES = 2 * MEBIBYTE;
