import type { NatsConnection } from "@nats-io/transport-node";
import type { ServiceLogger } from "@sluice/lib/log";
import type { ControlApiConfig } from "../config.ts";
import type { RunningControlApi } from "../control-api.ts";
export async function startHttp(
	_nc: NatsConnection,
	_api: RunningControlApi,
	_config: ControlApiConfig,
	_logger: ServiceLogger,
) {
	return { url: "", stop: async () => {} };
}
