import { existsSync } from "node:fs";
import type { Credentials } from "@sluice/lib/config";
import { connectNats } from "@sluice/lib/connect";
import { SluiceError } from "@sluice/lib/errors";
import { hostConnectionName } from "@sluice/proto/subjects";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { DataDir } from "./data-dir.ts";
import type { KeeperLog } from "./log-stream.ts";
import type { UpPlan } from "./options.ts";

interface Joining {
	readonly plan: Pick<UpPlan, "hostId">;
	readonly dataDir: Pick<DataDir, "keptRules">;
	readonly log: Pick<KeeperLog, "warn">;
}

/**
 * Says at once what could not be seen from outside. A host that knows its rules starts though NATS is away.
 * @returns why it waits for its cluster; undefined: it need not.
 * @throws CommandFailure
 */
export async function checkCluster(
	{ plan, dataDir, log }: Joining,
	url: string,
	credentials: Credentials,
): Promise<string | undefined> {
	const name = hostConnectionName("supervisor", plan.hostId);
	try {
		const nc = await connectNats({
			url,
			credentials,
			name,
			host: plan.hostId,
			waitOnFirstConnect: false,
		});
		await nc.close();
		return undefined;
	} catch (error) {
		if (!(error instanceof SluiceError)) throw error;
		if (error.code === "unauthenticated") throw error;
		if (existsSync(dataDir.keptRules)) {
			log.warn(error.message);
			return error.message;
		}
		if (error.code === "forbidden") throw error;
		const remedy = "check the URL, and that sluice up runs there with --nats-listen";
		throw new CommandFailure(exitCodes.unreachable, `${error.message}: ${remedy}`, { cause: error });
	}
}
