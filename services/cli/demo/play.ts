import { CommandFailure, exitCodes } from "../failure.ts";
import type { Colors } from "../terminal.ts";
import type { Figures } from "./figures.ts";
import { outputs } from "./narration.ts";
import { PrivateCluster } from "./private-cluster.ts";
import type { Processes } from "./processes.ts";
import { startReceiver } from "./receivers.ts";
import { COUNT, sendStream } from "./stream.ts";
import { buildTopology, picture, type Topology } from "./topology.ts";

export interface Stage {
	say(text: string): Promise<void>;
	colors: Colors;
	processes: Processes;
	places: Topology;
	/** What has to be removed when all processes have ended. */
	removals: (() => Promise<void>)[];
}

/** The demo from the first word to the figures. Cleaning up is the caller's. */
export async function play(stage: Stage): Promise<Figures> {
	const { say, colors, processes, places } = stage;
	await say(
		`${colors.bold("1. A relay host between three small networks")}, in network namespaces of their own:\n${picture}`,
	);
	await buildTopology(processes, places);
	await say("   The relay has no route back to the source. Its kernel, with the usual reverse-path");
	await say("   check, would drop every datagram; Sluice takes them below that.\n");

	const cluster = await startCluster(stage);
	await addRule(stage, cluster);
	const receivers = await Promise.all([
		startReceiver(processes, places.studio, "d0:239.10.1.1:6001", COUNT),
		startReceiver(processes, places.studio, "d0:239.10.1.2:6001", COUNT),
		startReceiver(processes, places.office, "d0:239.20.1.1:7001", COUNT),
	]);
	return await sendStream(stage, cluster, receivers);
}

async function startCluster({ say, colors, processes, places, removals }: Stage): Promise<PrivateCluster> {
	await say(
		`${colors.bold("2. Sluice starts on the relay")}: NATS, control-api, supervisor, statistics, two workers`,
	);
	await say("   $ sluice up");
	const started = performance.now();
	const cluster = await PrivateCluster.start(processes, places.relay, removals);
	await say(`   ready after ${((performance.now() - started) / 1_000).toFixed(1)} s\n`);
	return cluster;
}

async function addRule({ say, colors }: Stage, cluster: PrivateCluster): Promise<void> {
	await say(`${colors.bold("3. One rule")}: each datagram of one group goes to three places`);
	const flags = ["--in r0:239.1.1.1:5001", ...outputs.map((output) => `--out ${output.endpoint}`)];
	await say(`   $ sluice rule add demo ${flags.join(" \\\n       ")}`);
	const answer = await cluster.command(["rule", "add", "demo", ...flags.flatMap((flag) => flag.split(" "))]);
	await say(`   ${answer.trim()}\n`);
	if (!answer.includes("ACTIVE"))
		throw new CommandFailure(exitCodes.failed, `the rule is not active: ${answer.trim()}`);
}
