import {
	closeSync,
	existsSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
} from "node:fs";
import { Glob } from "bun";
import { tryLock } from "../../../services/cli/up/flock.ts";
import { must, until } from "../../netns/lab/commands.ts";
import type { Namespace } from "../../netns/lab/namespace.ts";
import { Deployment } from "./deployment.ts";
import { type Engine, FETCHED, ROOT } from "./engine.ts";

const BUILD_LIMIT_MS = 400_000;

/**
 * Starts an engine that has every image which the compose files name. What the Dockerfile says is done once for what the
 * checkout holds, by whichever test file is the first, and kept beside what was fetched: loading it takes 4 s, not 40.
 */
export async function startWithImages(engine: Engine, namespace: Namespace): Promise<void> {
	const kept = `${FETCHED}/images-${hashOfContext()}.tar`;
	const lock = openSync(FETCHED, "r");
	let isBuilt = false;
	try {
		await until("nobody else builds", () => tryLock(lock) || undefined, BUILD_LIMIT_MS, 200);
		if (!existsSync(kept)) {
			await build(engine, kept);
			isBuilt = true;
		}
	} finally {
		closeSync(lock);
	}
	await engine.start(namespace);
	if (!isBuilt) await engine.docker("load", "--input", kept);
}

async function build(engine: Engine, kept: string): Promise<void> {
	for (const name of readdirSync(FETCHED)) if (name.startsWith("images-")) rmSync(`${FETCHED}/${name}`);
	// Only what is built needs a network with a registry in it.
	await engine.start();
	await importStandIns(engine);
	await new Deployment(engine, {}).compose("build", "init");
	const images = [
		named("compose.yaml", /^ {2}image: (sluice:\S+)$/m),
		named("compose.yaml", /^ {4}image: (nats:\S+)$/m),
		named("Dockerfile", /^ARG DEBIAN_IMAGE=(\S+)$/m),
	];
	await engine.docker("save", "--output", `${kept}.new`, ...images);
	renameSync(`${kept}.new`, kept);
	await engine.stop();
}

/** Of all that an image is made of. */
function hashOfContext(): string {
	const hash = new Bun.CryptoHasher("sha256").update(Bun.revision);
	hash.update(`${statSync(`${FETCHED}/debian.tar`).mtimeMs}`);
	const ignored = readFileSync(`${ROOT}/.dockerignore`, "utf8");
	const included = Array.from(ignored.matchAll(/^!(.*)$/gm), ([, path]) => path);
	const files = new Glob(`{${included.join(",")}}{,/**}`).scanSync({ cwd: ROOT, dot: true });
	const context = [...files].filter((path) => !path.includes("node_modules/") && !path.endsWith(".o"));
	for (const path of ["Dockerfile", ".dockerignore", "compose.yaml", ...context.sort()])
		hash.update(`\0${path}\0`).update(readFileSync(`${ROOT}/${path}`));
	return hash.digest("hex").slice(0, 16);
}

/** Makes images under the names of the public ones, which cannot be had everywhere. */
async function importStandIns(engine: Engine): Promise<void> {
	const debian = named("Dockerfile", /^ARG DEBIAN_IMAGE=(\S+)$/m);
	const bun = named("Dockerfile", /^ARG BUN_IMAGE=(\S+)$/m);
	const nats = named("compose.yaml", /^ {4}image: (nats:\S+)$/m);
	await engine.docker(
		...["import", "--change", "ENV NODE_EXTRA_CA_CERTS=/etc/ssl/machine.crt"],
		...[`${FETCHED}/debian.tar`, debian],
	);
	await engine.docker("import", "--change", "ENV PATH=/usr/local/bin:/bin", `${FETCHED}/nats.tar`, nats);
	const folder = mkdtempSync("/tmp/sluice-bun-");
	try {
		const path = ["--transform=s,^,usr/local/bin/,", "-C", `${ROOT}/.tools/bin`, "bun"];
		await must(["tar", "-cf", `${folder}/bun.tar`, ...path]);
		await engine.docker("import", `${folder}/bun.tar`, bun);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

function named(file: string, image: RegExp): string {
	const name = image.exec(readFileSync(`${ROOT}/${file}`, "utf8"))?.[1];
	if (name === undefined) throw new Error(`${file} names no ${image}`);
	return name;
}
