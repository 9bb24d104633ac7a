import { fstatSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { ServerTrust } from "@sluice/lib/config";
import { readCredentials } from "@sluice/lib/connect";
import { besideBundle } from "../beside.ts";
import type { Context } from "../context.ts";
import { badValue, CommandFailure, exitCodes } from "../failure.ts";
import type { GlobalFlags } from "../global-flags.ts";
import { DataDir } from "../up/data-dir.ts";
import { readHostCredentials } from "../up/host-credentials.ts";
import { nextIncarnation } from "../up/incarnation.ts";
import { controlApiStart, type OwnStart, startLine, supervisorStart } from "../up/start-lines.ts";
import { planContainer } from "./settings.ts";

/** Of this host's supervisor and workers, as `sluice credentials host` makes them for others. */
export const RELAY_CREDENTIALS = "relay";

/** Where the healthcheck looks; in a file system of the container's own (scripts/container/healthy). */
export const ALIVE_FILE = "/run/sluice/alive";

interface Start {
	readonly hostId: string;
	readonly natsUrl: string;
	readonly trust: ServerTrust;
	readonly seed: string;
	readonly own: OwnStart;
}

/**
 * Writes the line with which a service of a container starts into the pipe that becomes its standard input
 * (scripts/container/entry). It holds keys, so that it goes nowhere else.
 */
export async function containerStartLine({ flags, terminal }: Context, service: string): Promise<void> {
	if (!fstatSync(1).isFIFO())
		throw new CommandFailure(
			exitCodes.failed,
			"a start line holds keys: it is for the pipe of a container's entry",
		);
	const dataDir = new DataDir(flags.dataDir);
	const { hostId, natsUrl, trust, seed, own } = await startOf(service, flags, dataDir);
	const log = { warn: (line: string) => terminal.note(`sluice: ${line}`) };
	const incarnation = String(
		service === "relay" ? await nextIncarnation(relayDir(dataDir), log) : Date.now(),
	);
	const home = { hostId, incarnation, natsUrl, trust, aliveFile: ALIVE_FILE };
	await terminal.write(`${startLine(home, service === "relay" ? "supervisor" : service, seed, own)}\n`);
}

async function startOf(service: string, flags: GlobalFlags, dataDir: DataDir): Promise<Start> {
	if (service === "relay") return await relay(flags, dataDir);
	const { hostId, cluster } = await planContainer(flags, process.env);
	const { seed, url, ca, serverName } = await readCredentials(dataDir.credentials(service));
	const start = { hostId, natsUrl: url, trust: { ca, serverName }, seed };
	if (service === "stats-aggregator") return { ...start, own: {} };
	if (service !== "control-api" || cluster.kind !== "own")
		throw badValue(service, "one of relay, control-api, stats-aggregator");
	const httpToken = (await readFile(dataDir.httpToken, "utf8")).trim();
	return { ...start, own: controlApiStart({ http: cluster.http, httpToken }) };
}

/** Where the relay writes: it is root, and may not change what others own. */
export function relayDir(dataDir: DataDir): DataDir {
	return new DataDir(dirname(dataDir.keptRules));
}

/** The same whether its cluster is here or elsewhere: the file has the host's id and the URL. */
async function relay(flags: GlobalFlags, dataDir: DataDir): Promise<Start> {
	const path = dataDir.credentials(RELAY_CREDENTIALS);
	const { host, url, ca, serverName, supervisor, worker } = await readHostCredentials(
		path,
		undefined,
		// It is of the user who makes keys here; init has put its mode right.
		() => {},
	);
	const plan = await planContainer(flags, { ...process.env, SLUICE_HOST_ID: host });
	const installation = (await readFile(dataDir.installation, "utf8")).trim();
	const trust: ServerTrust = { ca, serverName };
	const own = supervisorStart({
		installation,
		relay: plan,
		workerSeed: worker.seed,
		trust,
		stageDir: dirname(besideBundle("worker.js")),
		keepFile: dataDir.keptRules,
	});
	return { hostId: host, natsUrl: url, trust, seed: supervisor.seed, own };
}
