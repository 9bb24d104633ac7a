// `./sluice soak [--minutes N] [--seed S]`: a cluster of its own under mixed load and disturbances that a
// seed decides, exact accounts after each round. The exit code is 0 only if all of them are right.

import { writeFileSync } from "node:fs";
import { BadOption, type Options, parseOptions } from "./options.ts";
import { repeatWith } from "./report.ts";
import { Rig } from "./rig.ts";
import { soak } from "./soak.ts";

const EXIT_INTERRUPTED = 130;

function readOptions(): Options {
	try {
		return parseOptions(process.argv.slice(2), () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 1);
	} catch (error) {
		if (!(error instanceof BadOption)) throw error;
		console.error(`sluice: ${error.message}`);
		process.exit(error.exitCode);
	}
}

async function run(options: Options): Promise<number> {
	let made: Rig | undefined;
	const interrupted = Promise.withResolvers<undefined>();
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
		process.on(signal, () => interrupted.resolve(undefined));
	const playing = Rig.start((rig) => {
		made = rig;
	}).then((rig) => soak(rig, options, console.log));
	// Once it was interrupted, whatever else goes wrong follows from that.
	playing.catch(() => undefined);
	let faults: string[] | undefined;
	try {
		faults = await Promise.race([playing, interrupted.promise]);
	} catch (error) {
		faults = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
	}
	const log = made?.relay.log ?? "";
	await made?.remove();
	if (faults === undefined) {
		console.error("sluice: soak interrupted: all cleaned up");
		return EXIT_INTERRUPTED;
	}
	if (faults.length === 0) return 0;
	const path = `/tmp/sluice-soak-${options.seed}.log`;
	writeFileSync(path, log, { mode: 0o600 });
	console.log(`\n${faults.length} faults; the cluster's log is in ${path}`);
	for (const fault of faults) console.log(`fault: ${fault}`);
	return 1;
}

const options = readOptions();
console.log(`soak: seed ${options.seed}, ${options.minutes} minutes`);
const code = await run(options);
const verdict = code === 0 ? "everything adds up" : code === EXIT_INTERRUPTED ? "not finished" : "NOT RIGHT";
console.log(`soak: ${verdict}; repeat with ${repeatWith(options)}`);
process.exit(code);
