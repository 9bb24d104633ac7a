import { besideBundle } from "../beside.ts";
import { CommandFailure, exitCodes } from "../failure.ts";
import { type ReceiverReport, receiverReport } from "./figures.ts";
import type { Processes, Program } from "./processes.ts";
import type { Place } from "./topology.ts";

const LISTENING_TIMEOUT_MS = 5_000;
/** Silence after which a receiver that misses something gives up. */
const IDLE_SECONDS = 4;

export interface Receiver {
	/** Resolves when everything expected came, or the stream fell silent. */
	report(): Promise<ReceiverReport>;
}

/** Starts `sluice recv` and resolves when it is a member of its group. */
export async function startReceiver(
	processes: Processes,
	place: Place,
	endpoint: string,
	expected: number,
): Promise<Receiver> {
	const listening = Promise.withResolvers<void>();
	const program = processes.start(
		place.inside([
			besideBundle("sluice-recv"),
			...["--json", "--in", endpoint, "--expect", String(expected), "--idle", String(IDLE_SECONDS)],
		]),
		{
			onError: (line) => {
				if (line.includes("listening")) listening.resolve();
			},
		},
	);
	await Promise.race([listening.promise, refusal(program), late(endpoint)]);
	return {
		async report() {
			const [text] = await Promise.all([program.output, program.exited]);
			return receiverReport.parse(JSON.parse(text));
		},
	};
}

async function refusal(program: Program): Promise<never> {
	await program.exited;
	throw new CommandFailure(exitCodes.failed, `sluice recv ended: ${program.lastWords()}`);
}

async function late(endpoint: string): Promise<never> {
	await Bun.sleep(LISTENING_TIMEOUT_MS);
	throw new CommandFailure(exitCodes.failed, `sluice recv does not listen on ${endpoint}`);
}
