import type { Context } from "../context.ts";
import { CommandFailure, exitCodes } from "../failure.ts";
import { type Figures, figuresToJson, findFaults } from "./figures.ts";
import { formatFigures, formatVerdict } from "./narration.ts";
import { play } from "./play.ts";
import { Processes } from "./processes.ts";
import { nameTopology, removeTopology } from "./topology.ts";

/** A relay at work, told to whoever never saw one. Leaves nothing behind, whatever way it ends. */
export async function demo(context: Context): Promise<void> {
	if (process.getuid?.() !== 0) {
		throw new CommandFailure(
			exitCodes.failed,
			"demo needs root, since it makes network namespaces and opens packet sockets in them: run sudo ./sluice demo",
		);
	}
	const { flags, terminal } = context;
	const say = async (text: string) => {
		// With --json stdout belongs to the figures.
		if (flags.json) for (const line of text.split("\n")) terminal.note(line);
		else await terminal.write(`${text}\n`);
	};
	const figures = await playAndCleanUp(say, context);
	await say(`\n${formatFigures(figures, terminal.colors)}`);
	if (flags.json) await terminal.write(`${figuresToJson(figures)}\n`);
	const faults = findFaults(figures);
	if (faults.length > 0) {
		throw new CommandFailure(exitCodes.failed, `not every figure is right: ${faults.join("; ")}`);
	}
	await say(terminal.colors.green(formatVerdict(figures)));
	await say(
		"The networks, processes and files of the demo are gone again. Next: sudo ./sluice up, and docs/cli.md.",
	);
}

async function playAndCleanUp(say: (text: string) => Promise<void>, { terminal }: Context): Promise<Figures> {
	const processes = new Processes();
	const places = nameTopology();
	const removals: (() => Promise<void>)[] = [];
	const interrupted = Promise.withResolvers<never>();
	const interrupt = () =>
		interrupted.reject(new CommandFailure(exitCodes.failed, "demo interrupted: all cleaned up"));
	const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
	for (const signal of signals) process.on(signal, interrupt);
	try {
		const playing = play({ say, colors: terminal.colors, processes, places, removals });
		return await Promise.race([playing, interrupted.promise]);
	} finally {
		await processes.stopAll();
		removeTopology(places);
		for (const remove of removals) await remove();
		for (const signal of signals) process.off(signal, interrupt);
	}
}
