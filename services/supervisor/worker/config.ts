import { serviceConfig } from "@sluice/lib/config";
import { IDLE_STRATEGIES } from "@sluice/lib/idle-strategies";
import { z } from "zod";

/** What the supervisor tells a worker at its start. */
export const workerConfig = serviceConfig.extend({
	/** Slot number; 0 … workers − 1. */
	worker: z.int().nonnegative(),
	/** The CPU that the packet thread is pinned to. */
	core: z.int().nonnegative(),
	/** What the packet thread does when nothing is ready. */
	idle: z.enum(IDLE_STRATEGIES).default("adaptive"),
	/** Abstract socket of the supervisor's channel. */
	channel: z.string().min(1),
	/** Process that starts supervisors; who outlives both has nobody left to work for. */
	keeper: z.int().positive(),
});
