import type { TableBuilder } from "@sluice/dataplane/records";
import type * as supervisor from "@sluice/dataplane/supervisor";

/** What of libsluice changes the kernel's state; the module itself fits, and so does a test's stand-in. */
export type Dataplane = Pick<
	typeof supervisor,
	| "admitAddress"
	| "closeDescriptor"
	| "createFilter"
	| "createShardState"
	| "dismissAddress"
	| "isBound"
	| "joinGroup"
	| "leaveGroup"
	| "openDrain"
	| "openEgress"
	| "openMembership"
	| "openShards"
	| "planRing"
	| "nameSuccessor"
	| "settleShard"
	| "watchWorker"
	| "withdrawSuccessor"
	| "driverOfShard"
	| "zeroCounters"
>;

export type Tables = Pick<TableBuilder, "addInterface" | "addRule" | "build" | "reset">;
