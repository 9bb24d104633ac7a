import { parseRingMemory, parseWorkers } from "../commands/up.ts";
import { CommandFailure } from "../failure.ts";
import type { GlobalFlags } from "../global-flags.ts";
import { parseLabels } from "../parse/labels.ts";
import { withHostFile } from "../up/host-credentials.ts";
import { planUp, type UpOptions, type UpPlan } from "../up/options.ts";

/** What the compose files hand on from .env, and the flag of `up` that each one stands for. Nothing secret. */
const FLAGS = {
	SLUICE_HOST_ID: "--host-id",
	SLUICE_LABELS: "--labels",
	SLUICE_WORKERS: "--workers",
	SLUICE_IDLE: "--idle",
	SLUICE_PRIORITY: "--priority",
	SLUICE_RING_MEMORY: "--ring-memory",
	SLUICE_HTTP: "--http",
	SLUICE_NATS_LISTEN: "--nats-listen",
} as const;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What `up` would do with these settings; an empty variable counts as unset.
 * @throws CommandFailure that names the variable which cannot be.
 */
export async function planContainer(flags: GlobalFlags, environment: Environment): Promise<UpPlan> {
	try {
		const options = optionsOf(flags, environment);
		return planUp(await withHostFile(options, true));
	} catch (error) {
		if (!(error instanceof CommandFailure)) throw error;
		throw new CommandFailure(error.exitCode, inVariables(error.message), { cause: error });
	}
}

function optionsOf({ dataDir, natsUrl, credentialsPath }: GlobalFlags, environment: Environment): UpOptions {
	const given = (name: keyof typeof FLAGS) => environment[name] || undefined;
	const hostId = given("SLUICE_HOST_ID");
	const labels = given("SLUICE_LABELS");
	const workers = given("SLUICE_WORKERS");
	const idle = given("SLUICE_IDLE");
	const priority = given("SLUICE_PRIORITY");
	const ringMemory = given("SLUICE_RING_MEMORY");
	const http = given("SLUICE_HTTP");
	const natsListen = given("SLUICE_NATS_LISTEN");
	return {
		dataDir,
		...(hostId !== undefined && { hostId }),
		...(labels !== undefined && { labels: parseLabels(FLAGS.SLUICE_LABELS, labels) }),
		...(workers !== undefined && { workers: parseWorkers(workers) }),
		...(idle !== undefined && { idle }),
		...(priority !== undefined && { priority }),
		...(ringMemory !== undefined && { ringMemoryMiB: parseRingMemory(ringMemory) }),
		...(http !== undefined && { http }),
		...(natsListen !== undefined && { natsListen }),
		...(natsUrl !== undefined && { natsUrl }),
		...(credentialsPath !== undefined && { credentialsFile: credentialsPath }),
	};
}

/** "--workers 99: expected…" as whoever wrote .env knows it. */
function inVariables(message: string): string {
	return Object.entries(FLAGS).reduce(
		(text, [name, flag]) =>
			text.replaceAll(`${flag} `, `${name} `).replaceAll(`with ${flag}`, `with ${name}`),
		message,
	);
}
