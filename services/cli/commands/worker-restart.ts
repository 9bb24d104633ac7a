import { toJsonText } from "@sluice/lib/json";
import { ListHostsRequestSchema, ListHostsResponseSchema } from "@sluice/proto/gen/host";
import {
	ListWorkersRequestSchema,
	ListWorkersResponseSchema,
	RestartWorkerRequestSchema,
	type RestartWorkerResponse,
	RestartWorkerResponseSchema,
	type Worker,
} from "@sluice/proto/gen/worker";
import { requests } from "@sluice/proto/subjects";
import { type Cluster, withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import { badValue, CommandFailure, exitCodes } from "../failure.ts";
import { formatSilentHosts } from "../format/silent-hosts.ts";

export interface WorkerRestartOptions {
	host?: string;
}

/** A host gives up on a successor after 10 s and says why; that answer is worth waiting for. */
const LEAST_TIMEOUT_MS = 15_000;

/** Replaces workers, each when the one before it runs and has its rings back. Ends at the first that fails. */
export async function workerRestart(
	{ flags, terminal }: Context,
	number: string | undefined,
	{ host }: WorkerRestartOptions,
): Promise<void> {
	if (number !== undefined && !/^[0-9]{1,4}$/.test(number)) {
		throw badValue(`worker ${number}`, "a number that sluice worker list shows");
	}
	await withCluster({ flags, terminal }, async (cluster) => {
		const chosen = await choose(cluster, number, host);
		if (host === undefined) for (const line of await silentHosts(cluster)) terminal.note(`sluice: ${line}`);
		for (const worker of chosen) {
			terminal.progress(`worker ${worker.worker} of ${worker.host} is being replaced…`);
			const replaced = await cluster
				.request(
					requests.workerRestart,
					RestartWorkerRequestSchema,
					RestartWorkerResponseSchema,
					{ host: worker.host, worker: worker.worker },
					Math.max(flags.timeoutMs, LEAST_TIMEOUT_MS),
				)
				.finally(() => terminal.progress(""));
			await terminal.write(
				flags.json ? `${toJsonText(RestartWorkerResponseSchema, replaced)}\n` : outcome(worker, replaced),
			);
		}
	});
}

async function choose(
	cluster: Cluster,
	number: string | undefined,
	host: string | undefined,
): Promise<Pick<Worker, "host" | "worker">[]> {
	// Said by the host itself, or by control-api when there is no such host.
	if (host !== undefined && number !== undefined) return [{ host, worker: Number(number) }];
	const { workers } = await cluster.request(
		requests.workerList,
		ListWorkersRequestSchema,
		ListWorkersResponseSchema,
		{},
	);
	const chosen = workers.filter(
		(worker) =>
			(host === undefined || worker.host === host) &&
			(number === undefined || worker.worker === Number(number)),
	);
	if (chosen.length === 0) {
		const what = `no worker ${number === undefined ? "" : `${number} `}is known${host === undefined ? "" : ` on ${host}`}`;
		throw new CommandFailure(exitCodes.failed, `${what}: see sluice worker list`);
	}
	if (number !== undefined && chosen.length > 1) {
		const hosts = chosen.map((worker) => worker.host).join(", ");
		throw new CommandFailure(
			exitCodes.failed,
			`hosts ${hosts} have a worker ${number}: name one with --host`,
		);
	}
	return chosen;
}

async function silentHosts(cluster: Cluster): Promise<string[]> {
	const { hosts } = await cluster.request(
		requests.hostList,
		ListHostsRequestSchema,
		ListHostsResponseSchema,
		{},
	);
	return formatSilentHosts(hosts);
}

function outcome(
	{ host }: Pick<Worker, "host">,
	{ worker, formerPid, tookMs }: RestartWorkerResponse,
): string {
	return `worker ${worker?.worker} of ${host}: process ${worker?.pid} for ${formerPid}, RUNNING after ${tookMs} ms\n`;
}
