import { besideBundle } from "../beside.ts";
import { CommandFailure, exitCodes } from "../failure.ts";
import { formatCount } from "../format/figures.ts";
import {
	type Figures,
	generatorReport,
	type ReceiverReport,
	type StatsReport,
	statsReport,
	workersReport,
} from "./figures.ts";
import { droppedPackets, formatRateHeading, formatRates, outputStats, outputs } from "./narration.ts";
import type { Stage } from "./play.ts";
import type { PrivateCluster } from "./private-cluster.ts";
import type { Receiver } from "./receivers.ts";

const RATE_PPS = 5_000;
const STREAM_SECONDS = 18;
export const COUNT = RATE_PPS * STREAM_SECONDS;
/** Seven MPEG-TS packets, what most video senders put into one datagram. */
const PAYLOAD_BYTES = 1_316;
const KILL_AFTER_SECONDS = 6;
const RESTART_TIMEOUT_MS = 10_000;
/** Workers publish their counters each second. */
const LAST_COUNTERS_TIMEOUT_MS = 5_000;

/** Sends the stream, shows it, kills a worker on the way, and collects every figure. */
export async function sendStream(
	stage: Stage,
	cluster: PrivateCluster,
	receivers: Receiver[],
): Promise<Figures> {
	const { say, colors, processes, places } = stage;
	const load = `${formatCount(RATE_PPS)} datagrams of ${formatCount(PAYLOAD_BYTES)} bytes each second`;
	await say(`${colors.bold("4. The source sends")} ${load}, for ${STREAM_SECONDS} seconds`);
	await say(formatRateHeading(colors));
	const watch = new StatsWatch(stage, cluster);
	const generator = processes.start(
		places.source.inside([
			...[besideBundle("sluice-gen"), "--json", "--to", "s0:239.1.1.1:5001", "--rate", String(RATE_PPS)],
			...["--size", String(PAYLOAD_BYTES), "--count", String(COUNT)],
		]),
	);
	const [worker, text] = await Promise.all([killOnTheWay(stage, cluster, watch), generator.output]);
	const reports = await Promise.all(receivers.map((receiver) => receiver.report()));
	watch.stop();
	const { sentPackets } = generatorReport.parse(JSON.parse(text));
	return collect(sentPackets, reports, await lastStats(cluster, sentPackets), worker);
}

/** `sluice stats demo --watch --json` while the stream flows: a line of the table each second. */
class StatsWatch {
	latest: StatsReport | undefined;
	#second = 0;
	#stopped = false;

	constructor(stage: Stage, cluster: PrivateCluster) {
		stage.processes.start(cluster.argv(["stats", "demo", "--watch", "--json"]), {
			onOutput: (line) => {
				if (this.#stopped) return;
				const stats = statsReport.parse(JSON.parse(line));
				this.latest = stats;
				// The first seconds may be of the time before the stream.
				if (this.#second === 0 && (stats.rules[0]?.packetsPerSecond ?? 0) === 0) return;
				this.#second += 1;
				void stage.say(formatRates(this.#second, stats));
			},
		});
	}

	/** Later seconds are of the time after the stream. */
	stop(): void {
		this.#stopped = true;
	}
}

async function killOnTheWay(
	stage: Stage,
	cluster: PrivateCluster,
	watch: StatsWatch,
): Promise<Figures["worker"]> {
	const { say, colors } = stage;
	await Bun.sleep(KILL_AFTER_SECONDS * 1_000);
	if (!watch.latest) throw new CommandFailure(exitCodes.failed, "the relay has no statistics yet: try again");
	const slot = busiestWorker(watch.latest);
	const victim = (await listWorkers(cluster)).find((worker) => worker.worker === slot);
	if (!victim) throw new CommandFailure(exitCodes.failed, `there is no worker ${slot}`);
	process.kill(victim.pid, "SIGKILL");
	await say(colors.yellow(`        kill -9 ${victim.pid}: the worker that carries this stream is dead`));
	const killed = performance.now();
	while (performance.now() - killed < RESTART_TIMEOUT_MS) {
		const successor = (await listWorkers(cluster)).find((worker) => worker.worker === slot);
		if (successor && successor.pid !== victim.pid && successor.state === "RUNNING") {
			await say(colors.green(`        worker ${slot} runs again, as process ${successor.pid}`));
			return { killedPid: victim.pid, startedPid: successor.pid, restarts: successor.restarts };
		}
		await Bun.sleep(100);
	}
	return { killedPid: victim.pid, startedPid: 0, restarts: 0 };
}

/** One flow stays on one worker: the one with the most batches. */
function busiestWorker(stats: StatsReport): number {
	const batches = (worker: StatsReport["workers"][number]) => worker.gauges?.batches ?? 0;
	return stats.workers.toSorted((one, other) => batches(other) - batches(one))[0]?.worker ?? 0;
}

async function listWorkers(cluster: PrivateCluster) {
	return (await cluster.ask(workersReport, ["worker", "list"])).workers;
}

/** Statistics that know of every datagram, or the last there are. */
async function lastStats(cluster: PrivateCluster, sentPackets: number): Promise<StatsReport> {
	const deadline = performance.now() + LAST_COUNTERS_TIMEOUT_MS;
	while (true) {
		const stats = await cluster.ask(statsReport, ["stats", "demo"]);
		const complete =
			(stats.rules[0]?.receivedPackets ?? 0) >= sentPackets &&
			outputs.every((output) => (outputStats(stats, output.address)?.sentPackets ?? 0) >= sentPackets);
		if (complete || performance.now() > deadline) return stats;
		await Bun.sleep(200);
	}
}

function collect(
	sentPackets: number,
	reports: ReceiverReport[],
	stats: StatsReport,
	worker: Figures["worker"],
): Figures {
	const [rule] = stats.rules;
	return {
		sentPackets,
		relay: {
			receivedPackets: rule?.receivedPackets ?? 0,
			forwardedPackets: rule?.forwardedPackets ?? 0,
			droppedPackets: droppedPackets(stats),
		},
		outputs: reports.flatMap((report, index) => {
			const output = outputs[index];
			if (!output) return [];
			return [
				{ to: output.to, sentPackets: outputStats(stats, output.address)?.sentPackets ?? 0, ...report },
			];
		}),
		worker,
	};
}
