import type { Context } from "../context.ts";
import { badValue } from "../failure.ts";
import type { GlobalFlags } from "../global-flags.ts";
import { parseLabels } from "../parse/labels.ts";
import { withHostFile } from "../up/host-credentials.ts";
import type { UpOptions } from "../up/options.ts";
import { runUp } from "../up/up.ts";

/** The flags of `up`, as typed. */
export interface UpFlags {
	hostId?: string;
	labels?: string;
	workers?: string;
	idle?: string;
	priority?: string;
	ringMemory?: string;
	http?: string;
	natsListen?: string;
	natsTlsCert?: string;
	natsTlsKey?: string;
	natsTlsCa?: string;
}

/** Runs this host in the foreground until a signal ends it. */
export async function up({ flags }: Context, given: UpFlags): Promise<void> {
	const named = flags.credentialsPath !== process.env["SLUICE_CREDENTIALS"];
	await runUp(await withHostFile(upOptions(flags, given), named));
}

/** @throws CommandFailure that names the flag whose value cannot be read. */
export function upOptions(flags: GlobalFlags, given: UpFlags): UpOptions {
	return {
		dataDir: flags.dataDir,
		...(given.hostId !== undefined && { hostId: given.hostId }),
		...(given.labels !== undefined && { labels: parseLabels("--labels", given.labels) }),
		...(given.workers !== undefined && { workers: parseWorkers(given.workers) }),
		...(given.idle !== undefined && { idle: given.idle }),
		...(given.priority !== undefined && { priority: given.priority }),
		...(given.ringMemory !== undefined && { ringMemoryMiB: parseRingMemory(given.ringMemory) }),
		...(given.http !== undefined && { http: given.http }),
		...(given.natsListen !== undefined && { natsListen: given.natsListen }),
		...(given.natsTlsCert !== undefined && { natsTlsCert: given.natsTlsCert }),
		...(given.natsTlsKey !== undefined && { natsTlsKey: given.natsTlsKey }),
		...(given.natsTlsCa !== undefined && { natsTlsCa: given.natsTlsCa }),
		...(flags.natsUrl !== undefined && { natsUrl: flags.natsUrl }),
		...(flags.credentialsPath !== undefined && { credentialsFile: flags.credentialsPath }),
	};
}

export function parseWorkers(text: string): number | "auto" {
	if (text === "auto") return text;
	if (!/^\d+$/.test(text)) throw badValue(`--workers ${text}`, "a number, or auto");
	return Number(text);
}

export function parseRingMemory(text: string): number {
	if (!/^\d+$/.test(text)) throw badValue(`--ring-memory ${text}`, "a number of MiB");
	return Number(text);
}
