import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Relay } from "./relay.ts";

const ROOT = resolve(import.meta.dir, "../../..");

/** Beside the one of the relay's `up`, with the same key: whoever asks gets an answer of either. */
export async function secondAggregator({
	namespace,
	hostId,
	dataDir,
}: Relay): Promise<{ end(): Promise<void> }> {
	const { name, ...credentials } = JSON.parse(
		readFileSync(`${dataDir}/credentials/stats-aggregator.json`, "utf8"),
	) as { name: string; seed: string; url: string };
	const child = namespace.start([`${ROOT}/.tools/bin/bun`, `${ROOT}/services/${name}/main.ts`], "pipe");
	const config = {
		service: name,
		hostId,
		incarnation: readFileSync(`${dataDir}/incarnation`, "utf8").trim(),
		natsUrl: credentials.url,
		credentials: { kind: "nkey", seed: credentials.seed },
		startsWithRelay: true,
	};
	child.stdin?.write(`${JSON.stringify(config)}\n`);
	await child.stdin?.flush();
	let log = "";
	for await (const bytes of child.stderr) {
		log += new TextDecoder().decode(bytes);
		if (log.includes('"ready":true')) break;
	}
	if (!log.includes('"ready":true')) throw new Error(`the second aggregator: ${log}`);
	return {
		async end() {
			child.kill("SIGKILL");
			await child.exited;
		},
	};
}
