/** Peers that are a process for each stream and output, or one for all. */

import { run } from "../../netns/lab/commands.ts";
import type { Network } from "../network.ts";
import type { Running } from "./peer.ts";

const SAID_MAX = 4_000;
/** Who has not ended by then is ended with the namespace. */
const END_LIMIT_MS = 5_000;

export function startProcesses(network: Network, commands: readonly string[][]): Running {
	let said = "";
	const children = commands.map((argv) => network.relay.start(argv));
	for (const child of children) {
		for (const stream of [child.stdout, child.stderr]) void follow(stream);
	}
	async function follow(stream: ReadableStream<Uint8Array>): Promise<void> {
		const decoder = new TextDecoder();
		for await (const bytes of stream) said = (said + decoder.decode(bytes)).slice(-SAID_MAX);
	}
	return {
		async stop() {
			for (const child of children) child.kill("SIGTERM");
			await Promise.race([Promise.all(children.map(({ exited }) => exited)), Bun.sleep(END_LIMIT_MS)]);
		},
		alive: () => children.every(({ exitCode, signalCode }) => exitCode === null && signalCode === null),
		said: () => said,
	};
}

/** The first line of what a program prints about itself that has a figure with a dot in it. */
export async function versionOf(argv: string[]): Promise<string | undefined> {
	const { stdout, stderr } = await run(argv);
	return `${stdout}\n${stderr}`
		.split("\n")
		.find((line) => /\d\.\d/.test(line))
		?.trim();
}
