import {
	closeSync,
	constants,
	existsSync,
	openSync,
	readFileSync,
	realpathSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import {
	chmod,
	chown,
	lchown,
	lstat,
	mkdir,
	open,
	readdir,
	rename,
	rm,
	stat,
	statfs,
	writeFile,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errorText } from "@sluice/lib/errors";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { Account, Accounts } from "./accounts.ts";
import { lockExclusive, tryLock } from "./flock.ts";
import { hasOpen, outlive } from "./leftovers.ts";
import type { KeeperLog } from "./log-stream.ts";
import { tlsFiles } from "./nats-conf.ts";
import type { NatsTls } from "./nats-tls.ts";

/** Where everything lies that outlives `up`. Owners and modes are part of the security: ADR 0022. */
export class DataDir {
	constructor(readonly path: string) {}

	/** JetStream's store; nats-server's working directory. */
	get nats(): string {
		return join(this.path, "nats");
	}

	get natsConf(): string {
		return join(this.path, "nats.conf");
	}

	get httpToken(): string {
		return join(this.path, "http-token");
	}

	/** For `nats --nkey`. */
	get operatorSeed(): string {
		return join(this.credentialsFolder, "operator.nk");
	}

	/** The supervisor's own: the rules it last knew. */
	get keptRules(): string {
		return join(this.path, "supervisor", "desired");
	}

	/** What tells this host from others that were given its id. */
	get installation(): string {
		return join(this.path, "installation");
	}

	/** What the last `up` called itself. */
	get incarnation(): string {
		return join(this.path, "incarnation");
	}

	/** Locked by the supervisor's keeper, the supervisor and its workers, as long as one of them lives. */
	get relayLock(): string {
		return join(this.path, "relay-lock");
	}

	get credentialsFolder(): string {
		return join(this.path, "credentials");
	}

	/** Who looks from here at the cluster that this host joined; absent where a cluster of its own ran, or nothing. */
	get joined(): string {
		return this.credentials("joined");
	}

	credentials(name: string): string {
		return join(this.credentialsFolder, `${name}.json`);
	}

	/** Locked by who has the directory; holds its pid. */
	get lockFile(): string {
		return join(this.path, "lock");
	}

	/** Its owner's, besides credentials. */
	get ownFiles(): readonly string[] {
		return [this.natsConf, this.httpToken, this.installation, this.incarnation, this.lockFile];
	}

	/** Whether an `up` of this host has the directory; false also where it cannot be seen. */
	get isInUse(): boolean {
		const path = this.lockFile;
		try {
			const holder = holderOf(path);
			return holder !== undefined && hasOpen(holder, realpathSync(path));
		} catch {
			return false;
		}
	}

	/**
	 * Makes what is missing and puts owners and modes right; who is not root, of its own files alone.
	 * @param onFull is told when there is no room for more; absent: that is a reason not to start.
	 * @throws CommandFailure on a full or read-only disk.
	 */
	async prepare(accounts: Accounts, onFull?: (why: string) => void): Promise<void> {
		const { owner, operatorsGid, readers } = accounts;
		await this.explaining(async () => {
			await folder(this.path, 0o750, owner.uid, operatorsGid);
			await folder(this.credentialsFolder, 0o750, owner.uid, operatorsGid);
			await this.refuseEndless();
			await this.#narrowCredentials(owner, readers);
			for (const path of this.ownFiles) await give(path, owner);
			if (process.getuid?.() === 0) await this.#giveFolders(accounts);
			await probeSpace(join(this.path, ".probe")).catch((error: unknown) => {
				if (onFull === undefined || !isFull(error)) throw error;
				onFull(errorText(describeDiskError(this.path, error)));
			});
		});
	}

	/** What is nats-server's, and the supervisor's. */
	async #giveFolders({ nats }: Accounts): Promise<void> {
		await folder(this.nats, 0o700, nats.uid, nats.gid);
		await ownTree(this.nats, nats.uid, nats.gid);
		const kept = dirname(this.keptRules);
		if (!existsSync(kept)) return;
		await folder(kept, 0o700, 0, 0);
		await ownTree(kept, 0, 0);
	}

	/** Whether nats-server's folder takes something; the last bytes are left to others. */
	async canStore(): Promise<boolean> {
		try {
			const { bavail, bsize } = await statfs(this.nats);
			if (bavail * bsize < 2 * PROBE_BYTES) return false;
			await probeSpace(join(this.nats, ".probe"));
			return true;
		} catch {
			return false;
		}
	}

	/**
	 * Takes the directory for this process and those that it hands the lock on to, for as
	 * long as one of them lives. Waits for what an `up` left that died.
	 * @throws CommandFailure naming the `up` that has it.
	 */
	async lock(log?: Pick<KeeperLog, "warn">): Promise<DataDirLock> {
		const path = this.lockFile;
		const fd = this.#openLock(path);
		if (!tryLock(fd) && !(await this.#inherit(fd, path, log))) {
			closeSync(fd);
			throw new CommandFailure(
				exitCodes.failed,
				`${this.path} is in use by another sluice up (pid ${holderOf(path) ?? "unknown"}): ` +
					"stop it, or choose another directory with --data-dir",
			);
		}
		try {
			writeFileSync(path, `${process.pid}\n`);
		} catch (error) {
			// Whom the lock is refused is not told by whom then.
			if (!isFull(error)) throw error;
		}
		return {
			fd,
			release() {
				truncateSync(path);
				closeSync(fd);
			},
		};
	}

	async #inherit(fd: number, path: string, log?: Pick<KeeperLog, "warn">): Promise<boolean> {
		const holder = holderOf(path);
		if (holder === undefined || hasOpen(holder, realpathSync(path))) return false;
		log?.warn("waiting for the end of what an up left that died", { pid: holder });
		return await outlive(fd, path, (pid) => log?.warn("what an up left is killed", { pid }));
	}

	#openLock(path: string): number {
		try {
			closeSync(openSync(path, "a", 0o640));
			// Others get it who have no business in it: the lock needs no more.
			return openSync(path, "r");
		} catch (error) {
			const code = error instanceof Error && "code" in error ? String(error.code) : "";
			const what = code === "EISDIR" ? "is a directory" : `cannot be opened (${code})`;
			throw new CommandFailure(exitCodes.failed, `${path} ${what}: remove it, and up makes the file anew`, {
				cause: error,
			});
		}
	}

	/** A restored backup may have given the seeds to anybody. */
	async #narrowCredentials(owner: Account, readers: Accounts["readers"]): Promise<void> {
		const parent = this.credentialsFolder;
		for (const entry of await readdir(parent, { withFileTypes: true })) {
			if (!entry.isFile()) continue;
			const path = join(parent, entry.name);
			const reader = readers[basename(entry.name, ".json")];
			const is = await lstat(path);
			const gid = reader ?? is.gid;
			if (is.uid !== owner.uid || is.gid !== gid) await lchown(path, owner.uid, gid);
			const mode = is.mode & (reader === undefined ? 0o600 : 0o640);
			if ((is.mode & 0o7777) !== mode) await chmod(path, mode);
		}
	}

	/** @throws CommandFailure when reading or opening something in here might never end. */
	async refuseEndless(): Promise<void> {
		for (const path of [this.path, this.credentialsFolder]) await refuseEndless(path);
	}

	/** One command at a time reads, makes and removes what is issued; others wait. */
	async changingCredentials<Result>(work: () => Promise<Result>): Promise<Result> {
		let fd = -1;
		await this.explaining(async () => {
			// Not the folder itself: the operators' group may open that.
			const flags = constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW;
			fd = openSync(join(this.credentialsFolder, "lock"), flags, 0o600);
		});
		try {
			lockExclusive(fd);
			return await work();
		} finally {
			closeSync(fd);
		}
	}

	/** For a group besides the owner; it may have been narrower. */
	async letRead(path: string, gid: number): Promise<void> {
		await this.explaining(async () => {
			await lchown(path, await this.owner(), gid);
			await chmod(path, 0o640);
		});
	}

	/** Whose all files in it are, but those of a folder that is somebody else's. @returns its uid. */
	async owner(): Promise<number> {
		return (await stat(this.path)).uid;
	}

	/**
	 * Replaces a file in one step, durable; it has its final owner and mode before it has its name.
	 * @param gid matters where `mode` lets a group read.
	 */
	async write(path: string, text: string, mode: number, gid = process.getgid?.() ?? 0): Promise<void> {
		const fresh = `${path}.new`;
		await this.explaining(async () => {
			await rm(fresh, { force: true });
			const file = await open(fresh, "wx", 0o600);
			try {
				await file.writeFile(text);
				// Not by its name, behind which the folder's owner could put another file.
				await file.chown(await this.owner(), gid);
				await file.chmod(mode);
				await file.sync();
			} finally {
				await file.close();
			}
			await rename(fresh, path);
			await syncFolder(dirname(path));
		});
	}

	/**
	 * What nats-server shows. Undefined: it speaks no TLS.
	 * @param folder its own, as under `up`, where its user may reach no other.
	 */
	async writeNatsTls(
		tls: Pick<NatsTls, "certificate" | "key"> | undefined,
		gid: number,
		folder = this.nats,
	): Promise<void> {
		for (const file of ["certificate", "key"] as const) {
			const path = join(folder, tlsFiles[file]);
			if (tls === undefined) await this.explaining(() => rm(path, { force: true }));
			else await this.write(path, tls[file], 0o640, gid);
		}
	}

	/** Runs file work in here and turns the errors a disk can have into one line. */
	private async explaining(work: () => Promise<void>): Promise<void> {
		try {
			await work();
		} catch (error) {
			throw describeDiskError(this.path, error);
		}
	}
}

/** The pid in a lock file. */
function holderOf(path: string): number | undefined {
	return Number(readFileSync(path, "utf8")) || undefined;
}

export interface DataDirLock {
	/** For whoever must have ended before another `up` begins. */
	readonly fd: number;
	release(): void;
}

async function folder(path: string, mode: number, uid: number, gid: number): Promise<void> {
	await mkdir(path, { recursive: true, mode: 0o700 });
	const is = await stat(path);
	if (is.uid !== uid || is.gid !== gid) await chown(path, uid, gid);
	if ((is.mode & 0o7777) !== mode) await chmod(path, mode);
}

/** Reading a pipe or a device in place of a file might never end, and then not even a signal ends `up`. */
async function refuseEndless(folder: string): Promise<void> {
	for (const name of await readdir(folder).catch(() => [])) {
		const path = join(folder, name);
		const is = await stat(path).catch(() => undefined);
		if (is === undefined || is.isFile() || is.isDirectory()) continue;
		throw new CommandFailure(exitCodes.failed, `${path} is no file: remove it, and up makes it anew`);
	}
}

/** Without it a name may be lost with the power, whatever is known of the content. */
async function syncFolder(path: string): Promise<void> {
	const opened = await open(path, "r");
	try {
		await opened.sync();
	} finally {
		await opened.close();
	}
}

/** A restored backup may belong to another user, and nats-server could not read it; no link is followed. */
async function ownTree(path: string, uid: number, gid: number): Promise<void> {
	for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
		const inner = join(entry.parentPath, entry.name);
		// Another `up` that has the directory may just have removed it; the lock is taken later.
		const is = await lstat(inner).catch(() => undefined);
		if (is === undefined) continue;
		if (is.uid !== uid || is.gid !== gid) await lchown(inner, uid, gid);
	}
}

/** What the owner alone may change, and nobody but its group may read; a foreign owner's group may not either. */
async function give(path: string, owner: Account): Promise<void> {
	// A first start has none.
	const is = await lstat(path).catch(() => undefined);
	if (!is?.isFile()) return;
	if (is.uid !== owner.uid) await lchown(path, owner.uid, owner.gid);
	const mode = is.mode & (is.uid === owner.uid ? 0o640 : 0o600);
	if ((is.mode & 0o7777) !== mode) await chmod(path, mode);
}

/** A full disk shows only when something is written; better here than in nats-server's log. */
const PROBE_BYTES = 1_000_000;

async function probeSpace(path: string): Promise<void> {
	try {
		await rm(path, { force: true });
		// Follows no link that stands in its place.
		await writeFile(path, new Uint8Array(PROBE_BYTES), { flag: "wx" });
	} finally {
		await rm(path, { force: true });
	}
}

function isFull(error: unknown): boolean {
	return error instanceof Error && "code" in error && ["ENOSPC", "EDQUOT"].includes(String(error.code));
}

const remedies: Readonly<Record<string, string>> = {
	ENOSPC: "the disk is full: free some space, or choose another directory with --data-dir",
	EDQUOT: "the disk quota is used up: free some space, or choose another directory with --data-dir",
	EROFS: "the file system is read-only: make it writable, or choose another directory with --data-dir",
	ENOTDIR: "something in the path is not a directory: choose another with --data-dir",
	EEXIST: "something in the path is not a directory: choose another with --data-dir",
};

function describeDiskError(path: string, error: unknown): unknown {
	const code = error instanceof Error && "code" in error ? String(error.code) : "";
	const text = remedies[code];
	if (text === undefined && code === "") return error;
	return new CommandFailure(
		exitCodes.failed,
		`data directory ${path}: ${text ?? `${code}: choose another directory with --data-dir`}`,
		{ cause: error },
	);
}
