import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, statSync } from "node:fs";
import {
	chmod,
	chown,
	copyFile,
	link,
	lstat,
	mkdir,
	mkdtemp,
	readdir,
	rename,
	rm,
	stat,
	utimes,
} from "node:fs/promises";
import { basename, join } from "node:path";
import { CommandFailure, exitCodes } from "../failure.ts";
import { lockExclusive, lockShared, tryLock } from "./flock.ts";

/** One file that services run from. */
export interface StageSource {
	/** Its name on the stage. */
	readonly name: string;
	readonly path: string;
	readonly executable: boolean;
	/** Large and rarely changed: copied once, and linked into each stage. */
	readonly shared: boolean;
}

interface SourceState extends StageSource {
	readonly size: number;
	readonly mtimeMs: number;
}

export interface Stage {
	readonly path: string;
	/** Lets a later `up` remove it. */
	release(): void;
}

/** Root-owned and readable by the services' users, unlike checkouts and home folders (ADR 0023). */
const STAGES = "/opt/sluice";
const KEPT_STAGES = 2;

/**
 * Brings copies of the sources to where every service user can read them and nobody but root
 * can write. Costs a few stat calls when they are there already: a stage is named after
 * names, sizes and times of its sources.
 * @param beforeCopy runs before anything new is staged, and may refuse.
 */
export async function openStage(sources: readonly StageSource[], beforeCopy: () => void): Promise<Stage> {
	const states = await Promise.all(sources.map(readState));
	const path = join(STAGES, stageId(states));
	if ((await stat(STAGES).catch(() => undefined))?.isDirectory() === false)
		throw new CommandFailure(exitCodes.failed, `${STAGES} is no folder: move it away, and up makes it anew`);
	for (;;) {
		if (!isComplete(path, states)) {
			beforeCopy();
			await explaining(() => buildStage(path, states));
		}
		const fd = openSync(path, "r");
		// As long as the keeper lives, whichever namespaces it lives in, nobody removes its stage.
		lockShared(fd);
		if (existsSync(path) && statSync(path).ino === statSync(`/proc/self/fd/${fd}`).ino) {
			return { path, release: () => closeSync(fd) };
		}
		// Removed between the look and the lock.
		closeSync(fd);
	}
}

async function readState(source: StageSource): Promise<SourceState> {
	try {
		const { size, mtimeMs } = await stat(source.path);
		return { ...source, size, mtimeMs };
	} catch (error) {
		throw new CommandFailure(exitCodes.failed, `${source.path} is missing: run ./sluice build`, {
			cause: error,
		});
	}
}

function stageId(states: readonly SourceState[]): string {
	return digest(states.map(({ name, size, mtimeMs }) => [name, size, mtimeMs]));
}

function digest(value: unknown): string {
	return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}

/** Sizes are compared as well: a power failure soon after staging can leave empty files. */
function isComplete(path: string, states: readonly SourceState[]): boolean {
	return states.every(({ name, size }) => {
		const staged = statSync(join(path, name), { throwIfNoEntry: false });
		return staged?.size === size;
	});
}

async function buildStage(path: string, states: readonly SourceState[]): Promise<void> {
	await mkdir(STAGES, { recursive: true, mode: 0o755 });
	const { uid, mode } = await lstat(STAGES);
	if (uid !== 0 || (mode & 0o022) !== 0) {
		throw new CommandFailure(
			exitCodes.failed,
			`${STAGES} can be written by others than root: give it back with chown root: and chmod go-w`,
		);
	}
	const fd = openSync(STAGES, "r");
	try {
		lockExclusive(fd);
		// Another `up` may have been here first.
		if (!isComplete(path, states)) {
			await fillStage(path, states);
			await removeOldStages(path);
		}
	} finally {
		closeSync(fd);
	}
}

async function fillStage(path: string, states: readonly SourceState[]): Promise<void> {
	const fresh = await mkdtemp(join(STAGES, ".new-"));
	try {
		for (const source of states) {
			const target = join(fresh, source.name);
			if (source.shared) await link(await sharedCopy(source), target);
			else await copy(source, target);
		}
		await chmod(fresh, 0o755);
		await rm(path, { recursive: true, force: true });
		await rename(fresh, path);
	} catch (error) {
		await rm(fresh, { recursive: true, force: true });
		throw error;
	}
}

async function sharedCopy(source: SourceState): Promise<string> {
	const path = join(STAGES, `.${source.name}-${digest([source.size, source.mtimeMs])}`);
	const known = statSync(path, { throwIfNoEntry: false });
	if (known?.size !== source.size) {
		const fresh = `${path}.new`;
		await copy(source, fresh);
		await rename(fresh, path);
	}
	return path;
}

async function copy(source: SourceState, target: string): Promise<void> {
	await copyFile(source.path, target);
	await chown(target, 0, 0);
	await chmod(target, source.executable ? 0o755 : 0o644);
	await utimes(target, new Date(), new Date());
}

/** Keeps the newest and those in use; shared copies go with the last stage that links them. */
async function removeOldStages(current: string): Promise<void> {
	const stages = readdirSync(STAGES)
		.filter((name) => /^[0-9a-f]{16}$/.test(name))
		.map((name) => ({ path: join(STAGES, name), bornMs: statSync(join(STAGES, name)).mtimeMs }))
		.sort((a, b) => b.bornMs - a.bornMs);
	for (const { path } of stages.slice(KEPT_STAGES)) {
		if (path !== current) await removeUnused(path);
	}
	for (const name of await readdir(STAGES)) {
		const path = join(STAGES, name);
		const entry = await lstat(path);
		const orphaned = entry.isFile() && entry.nlink === 1;
		// Only one builds at a time, so whatever is half made was left by a crash.
		if (orphaned || name.startsWith(".new-")) await rm(path, { recursive: true, force: true });
	}
}

async function removeUnused(path: string): Promise<void> {
	const fd = openSync(path, "r");
	try {
		if (!tryLock(fd)) return;
		// Gone in one step, so that no `up` finds half a stage.
		const doomed = join(STAGES, `.new-${basename(path)}`);
		await rename(path, doomed);
		await rm(doomed, { recursive: true });
	} finally {
		closeSync(fd);
	}
}

const remedies: Readonly<Record<string, string>> = {
	ENOSPC: "the disk is full: free 200 MB",
	EEXIST: "it is a link to nowhere: remove it",
	ENOTDIR: "something in the path is no folder: move it away",
};

async function explaining(work: () => Promise<void>): Promise<void> {
	try {
		await work();
	} catch (error) {
		if (error instanceof CommandFailure) throw error;
		const code = error instanceof Error && "code" in error ? String(error.code) : "";
		const why = remedies[code] ?? `${code || String(error)}: make it writable`;
		throw new CommandFailure(exitCodes.failed, `services cannot be staged in ${STAGES}: ${why}`, {
			cause: error,
		});
	}
}
