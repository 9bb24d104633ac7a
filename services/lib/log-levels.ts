import type { NatsConnection } from "@nats-io/transport-node";
import { LogLevelsSchema } from "@sluice/proto/gen/log";
import { buckets, settingKeys } from "@sluice/proto/subjects";
import { followBucket } from "./kv-snapshot.ts";
import type { ServiceLogger } from "./log.ts";

/** Keeps the logger's levels at what the cluster's setting says; returns the way to stop. */
export async function followLogLevels(nc: NatsConnection, logger: ServiceLogger): Promise<() => void> {
	const trouble = logger.facility("nats");
	const snapshot = await followBucket(nc, buckets.settings, LogLevelsSchema, {
		key: settingKeys.logLevels,
		onTrouble: (message) => trouble.warn(message),
	});
	const take = () => {
		logger.setLevels(snapshot.entries.get(settingKeys.logLevels)?.value ?? { settings: [] });
	};
	take();
	snapshot.onChange(take);
	return () => snapshot.stop();
}
