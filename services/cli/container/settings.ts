import { type UpFlags, upOptions } from "../commands/up.ts";
import { CommandFailure } from "../failure.ts";
import type { GlobalFlags } from "../global-flags.ts";
import { withHostFile } from "../up/host-credentials.ts";
import { planUp, type UpPlan } from "../up/options.ts";

/** What the compose files hand on from .env, and the flag of `up` that each one stands for. Nothing secret. */
const SETTINGS: Readonly<Record<string, { readonly flag: string; readonly key: keyof UpFlags }>> = {
	SLUICE_HOST_ID: { flag: "--host-id", key: "hostId" },
	SLUICE_LABELS: { flag: "--labels", key: "labels" },
	SLUICE_WORKERS: { flag: "--workers", key: "workers" },
	SLUICE_IDLE: { flag: "--idle", key: "idle" },
	SLUICE_PRIORITY: { flag: "--priority", key: "priority" },
	SLUICE_RING_MEMORY: { flag: "--ring-memory", key: "ringMemory" },
	SLUICE_HTTP: { flag: "--http", key: "http" },
	SLUICE_NATS_LISTEN: { flag: "--nats-listen", key: "natsListen" },
};

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What `up` would do with these settings; an empty variable counts as unset.
 * @throws CommandFailure that names the variable which cannot be.
 */
export async function planContainer(flags: GlobalFlags, environment: Environment): Promise<UpPlan> {
	try {
		return planUp(await withHostFile(upOptions(flags, flagsOf(environment)), true));
	} catch (error) {
		if (!(error instanceof CommandFailure)) throw error;
		throw new CommandFailure(error.exitCode, inVariables(error.message), { cause: error });
	}
}

function flagsOf(environment: Environment): UpFlags {
	const flags: UpFlags = {};
	for (const [name, { key }] of Object.entries(SETTINGS)) {
		const value = environment[name];
		if (value !== undefined && value !== "") flags[key] = value;
	}
	return flags;
}

/** "--workers 99: expected…" as whoever wrote .env knows it. */
function inVariables(message: string): string {
	return Object.entries(SETTINGS).reduce(
		(text, [name, { flag }]) =>
			text.replaceAll(`${flag} `, `${name} `).replaceAll(`with ${flag}`, `with ${name}`),
		message,
	);
}
