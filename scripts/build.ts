// Builds everything `up` needs into build/: the C parts by make, one bundle for each service.
// With --tests the C test programs as well, plain and under the sanitizers.
//
// Each bundle is written into a folder of its own and renamed into place, so that a command that starts meanwhile
// finds the old one or the new one. A running `up` works from its own stage and notices nothing.
// Called by the launcher, which lets one build run at a time.

import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const buildDir = join(root, "build");

/**
 * Bundle name → the composition root of that process. A command lives for a tenth of a second, half of which its
 * own parsing and compiling took: it is compiled here, as CommonJS, the only form that bun keeps so (ADR 0085).
 */
const ENTRY_POINTS = {
	cli: "services/cli/main.ts",
	"control-api": "services/control-api/main.ts",
	supervisor: "services/supervisor/main.ts",
	worker: "services/supervisor/worker/main.ts",
	"stats-aggregator": "services/stats-aggregator/main.ts",
};

async function make(...args: string[]): Promise<void> {
	const job = Bun.spawn(["make", "-C", join(root, "dataplane-c"), "-j2", `BUILD=${buildDir}`, ...args], {
		stdio: ["ignore", "inherit", "inherit"],
	});
	const code = await job.exited;
	if (code !== 0) throw new Error(`make ${args.join(" ")} failed with exit code ${code}`);
}

/** Bundles one service into `folder`. What the entry imports is all inside: no node_modules at run time. */
async function bundle(name: string, entry: string, folder: string): Promise<void> {
	const compiled = name === "cli" ? ({ bytecode: true, format: "cjs" } as const) : {};
	const result = await Bun.build({
		entrypoints: [join(root, entry)],
		outdir: folder,
		target: "bun",
		naming: { entry: `${name}.js`, chunk: `${name}-[hash].[ext]`, asset: `${name}-[name]-[hash].[ext]` },
		...compiled,
		throw: false,
	});
	if (result.success) return;
	for (const message of result.logs) console.error(message);
	throw new Error(`error: bundling ${entry} failed`);
}

async function bundleServices(): Promise<void> {
	const folder = join(buildDir, ".new");
	await rm(folder, { recursive: true, force: true });
	try {
		for (const [name, entry] of Object.entries(ENTRY_POINTS)) {
			await bundle(name, entry, folder);
		}
		for (const file of await readdir(folder)) await rename(join(folder, file), join(buildDir, file));
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

async function build(withTests: boolean): Promise<void> {
	await mkdir(buildDir, { recursive: true });
	// The stamp carries the time at which the build began: what changes while it runs is newer.
	const stamp = join(buildDir, ".stamp.new");
	await writeFile(stamp, "");
	await make("all", "bench-programs");
	if (withTests) {
		await make("test-programs");
		await make("SANITIZE=1", "test-programs");
		await make("fuzz-programs-if-possible");
	}
	await bundleServices();
	await rename(stamp, join(buildDir, ".stamp"));
}

try {
	await build(process.argv.includes("--tests"));
} catch (error) {
	console.error(error instanceof Error ? error.message : error);
	process.exit(1);
}
