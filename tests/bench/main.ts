// `./sluice bench`: Sluice and its peers side by side, on the same traffic in the same run, in namespaces of
// its own. It writes a table, results.json and a plot for each case.

import { chownSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { checkout } from "../../scripts/owner.ts";
import { openTerminal } from "../../services/cli/terminal.ts";
import { allowedCores } from "../../services/supervisor/worker-processes/cores.ts";
import { Bench } from "./bench.ts";
import { allCases } from "./cases/all.ts";
import { effortOf, QUICK } from "./cases/case.ts";
import { describeLimits, generatorLimits } from "./generator.ts";
import { commit, machine, toolVersions } from "./machine.ts";
import { placement } from "./network.ts";
import { BadOption, type Options, parseOptions } from "./options.ts";
import { commandPeer } from "./peers/command.ts";
import type { Peer } from "./peers/peer.ts";
import { reference } from "./peers/reference.ts";
import { sluice } from "./peers/sluice.ts";
import { smcroute } from "./peers/smcroute.ts";
import { socat } from "./peers/socat.ts";
import { plot } from "./report/plot.ts";
import { type Results, results } from "./report/results.ts";
import { caseTable } from "./report/table.ts";
import { verdictTable } from "./report/verdicts.ts";
import { verdicts } from "./targets.ts";

const PEERS: readonly Peer[] = [sluice, socat, reference, smcroute];
const EXIT_INTERRUPTED = 130;
const STOP_DEADLINE_MS = 15_000;

function fail(message: string, exitCode: number): never {
	console.error(`sluice: ${message}`);
	process.exit(exitCode);
}

function readOptions(): Options {
	const known = { cases: allCases(QUICK).map(({ name }) => name), peers: PEERS.map(({ name }) => name) };
	try {
		return parseOptions(process.argv.slice(2), known);
	} catch (error) {
		if (!(error instanceof BadOption)) throw error;
		fail(error.message, error.exitCode);
	}
}

/** The launcher changes to the checkout; names of files are meant from where the user stands. */
function fromUser(path: string): string {
	return resolve(process.env["SLUICE_BENCH_FROM"] ?? ".", path);
}

interface ResultsFolder {
	readonly path: string;
	/** The uppermost folder that was made for it. */
	readonly made: string | undefined;
}

/** Where the results go, made before anything is measured; the checkout's own folder belongs to its owner. */
function resultsFolder(options: Options, startedAt: Date): ResultsFolder {
	const time = startedAt.toISOString().replace(/[-:]|\.\d+Z$/g, "");
	const folder =
		options.results === undefined ? join(checkout, "results", `bench-${time}`) : fromUser(options.results);
	try {
		return { path: folder, made: mkdirSync(folder, { recursive: true }) };
	} catch (error) {
		fail(`--results ${folder}: ${(error as Error).message}: choose a folder that can be written`, 1);
	}
}

function write(path: string, text: string): void {
	writeFileSync(path, text);
	if (!path.startsWith(`${checkout}/`)) return;
	const { uid, gid } = statSync(checkout);
	for (let made = path; made !== checkout; made = join(made, "..")) chownSync(made, uid, gid);
}

async function measure(bench: Bench, options: Options, startedAt: Date) {
	const cases = allCases(bench.effort).filter(({ name, long = false }) =>
		options.cases.length === 0 ? !(long && options.quick) : options.cases.includes(name),
	);
	const where = machine();
	if (!where.sinkMerges)
		bench.say("sink: without ethtool it takes bursts packet by packet, in the relay's time");
	const generator = await generatorLimits(bench.cpus);
	for (const line of describeLimits(generator)) bench.say(line);
	const rows = await bench.run(cases);
	const found = await results({
		...{ startedAt, quick: options.quick, commit: await commit(), machine: where, cpus: bench.cpus },
		...{
			versions: await toolVersions(),
			generator,
			peers: bench.peers,
			verdicts: verdicts(rows),
			cases,
			rows,
		},
	});
	return { cases, rows, found };
}

function report(folder: string, options: Options, measured: Awaited<ReturnType<typeof measure>>): void {
	const { cases, rows, found } = measured;
	const { colors } = openTerminal(process.env);
	for (const one of cases) {
		console.log(`\n${caseTable(one, rows, colors).trimEnd()}`);
		const svg = plot(one, rows);
		if (svg !== undefined) write(join(folder, `${one.name}.svg`), svg);
	}
	if (found.verdicts.length > 0) console.log(`\n${verdictTable(found.verdicts, colors).trimEnd()}`);
	const text = `${JSON.stringify(found satisfies Results, null, "\t")}\n`;
	write(join(folder, "results.json"), text);
	if (options.json !== undefined) writeFileSync(fromUser(options.json), text);
	console.log(`\nbench: ${found.seconds.toFixed(0)} s; figures, samples and plots are in ${folder}`);
}

async function run(options: Options): Promise<number> {
	const startedAt = new Date();
	const folder = resultsFolder(options, startedAt);
	const peers = [...PEERS, ...(options.peerCommand === undefined ? [] : [commandPeer(options.peerCommand)])];
	const bench = new Bench(
		peers.filter(({ name }) => options.peers.length === 0 || options.peers.includes(name)),
		effortOf(options),
		placement(allowedCores(readFileSync("/proc/self/status", "utf8"))),
		console.log,
	);
	const interrupted = Promise.withResolvers<undefined>();
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
		process.on(signal, () => interrupted.resolve(undefined));
	const measuring = measure(bench, options, startedAt);
	// Once it was interrupted, whatever else goes wrong follows from that.
	measuring.catch(() => undefined);
	let whole = false;
	try {
		const measured = await Promise.race([measuring, interrupted.promise]);
		if (measured === undefined) {
			await bench.stop();
			await Promise.race([measuring.catch(() => undefined), Bun.sleep(STOP_DEADLINE_MS)]);
			console.error("sluice: bench interrupted: all cleaned up");
			return EXIT_INTERRUPTED;
		}
		report(folder.path, options, measured);
		whole = true;
		return 0;
	} catch (error) {
		console.error(`sluice: bench: ${(error as Error).message.trim().replaceAll("\n", ": ")}`);
		return 1;
	} finally {
		await bench.remove();
		if (!whole && folder.made !== undefined) rmSync(folder.made, { recursive: true });
	}
}

const options = readOptions();
if (process.getuid?.() !== 0) fail("bench needs root, for network namespaces: run sudo ./sluice bench", 1);
process.exit(await run(options));
