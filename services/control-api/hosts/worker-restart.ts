import type { NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { SluiceError } from "@sluice/lib/errors";
import {
	type RestartWorkerRequest,
	RestartWorkerRequestSchema,
	type RestartWorkerResponse,
	RestartWorkerResponseSchema,
} from "@sluice/proto/gen/worker";
import { hostRestartSubject } from "@sluice/proto/subjects";
import type { HostView } from "./host-view.ts";

/** The supervisor gives up after 10 s, and says why. */
const HOST_TIMEOUT_MS = 12_000;

/** Passes the request on to the host's supervisor, which alone knows when the next may follow. */
export class WorkerRestart {
	readonly #nc: NatsConnection;
	readonly #hosts: HostView;

	constructor(nc: NatsConnection, hosts: HostView) {
		this.#nc = nc;
		this.#hosts = hosts;
	}

	async handle({ host, worker }: RestartWorkerRequest): Promise<RestartWorkerResponse> {
		if (host === "") throw new SluiceError("invalid", "host: name the host of the worker");
		// A name that has a record is one token of a subject.
		const { host: name } = this.#hosts.present(host);
		return await call(
			this.#nc,
			hostRestartSubject(name),
			RestartWorkerRequestSchema,
			RestartWorkerResponseSchema,
			{ host: name, worker },
			HOST_TIMEOUT_MS,
		).catch((thrown: unknown) => {
			const silent = thrown instanceof SluiceError && thrown.cause !== undefined;
			if (!silent) throw thrown;
			throw new SluiceError("timeout", `host ${name} did not answer: look at sluice up there`, {
				cause: thrown,
			});
		});
	}
}
