import type { NatsConnection } from "@nats-io/transport-node";
import { type LogLevels, LogLevelsSchema } from "@sluice/proto/gen/log";
import { buckets, settingKeys } from "@sluice/proto/subjects";
import { type BucketSnapshot, followBucket } from "./kv-snapshot.ts";
import type { ServiceLogger } from "./log.ts";

/** Keeps the logger's levels at what the cluster's setting says. */
export function keepLogLevels(logger: ServiceLogger, setting: BucketSnapshot<LogLevels>): void {
	const take = () => logger.setLevels(setting.entries.get(settingKeys.logLevels)?.value ?? { settings: [] });
	take();
	setting.onChange(take);
}

/** Follows the setting and keeps the logger's levels at it; returns the way to stop. */
export async function followLogLevels(nc: NatsConnection, logger: ServiceLogger): Promise<() => void> {
	const trouble = logger.facility("nats");
	const snapshot = await followBucket(nc, buckets.settings, LogLevelsSchema, {
		key: settingKeys.logLevels,
		onTrouble: (message) => trouble.warn(message),
	});
	keepLogLevels(logger, snapshot);
	return () => snapshot.stop();
}
