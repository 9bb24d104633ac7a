import { z } from "zod";
import { IDLE_STRATEGIES } from "./idle-strategies.ts";
import { labelComplaint } from "./labels.ts";
import { PRIORITIES } from "./priorities.ts";

const MEBIBYTE = 2 ** 20;

/** What is said of a host's relay to `up`, by flags or by a container's environment, and handed on to the supervisor as it is. */
export const relaySettings = z.object({
	labels: z
		.record(z.string(), z.string())
		.refine((labels) => labelComplaint(labels) === undefined, "are not labels"),
	/** Worker processes, one per core. */
	workers: z.int().min(1).max(64),
	/** What packet threads do when nothing is ready. */
	idle: z.enum(IDLE_STRATEGIES).default("adaptive"),
	/** How packet threads come before others. */
	priority: z.enum(PRIORITIES).default("nice"),
	/** Kernel memory for all receive rings together. */
	ringLimitBytes: z
		.int()
		.positive()
		.default(512 * MEBIBYTE),
});

/** Undefined: the supervisor's default. */
export type RelaySettings = Readonly<Required<z.input<typeof relaySettings>>>;
