import { constants } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { errorText } from "@sluice/lib/errors";
import { type KeptDesired, KeptDesiredSchema } from "@sluice/proto/gen/cluster";
import type { Logger } from "../logger.ts";
import { decodeKept, encodeKept, KEPT_LIMIT_BYTES } from "./kept-format.ts";

/** Changes within this time are written together: ten thousand rules put one by one are a few writes. */
const COALESCE_MS = 500;
/** A disk that is full may not stay so. */
const RETRY_MS = 5_000;

/** What was kept. An unreadable file is put aside and said once; a missing one is a first start. */
export async function readKept<Schema extends DescMessage>(
	path: string,
	schema: Schema,
	log: Logger,
): Promise<MessageShape<Schema> | undefined> {
	try {
		return decodeKept(schema, await readBounded(path));
	} catch (thrown) {
		if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return undefined;
		const aside = `${path}.corrupt`;
		await rename(path, aside).catch(() => {});
		log.error({ aside }, `${path} is ignored and put aside: ${errorText(thrown)}`);
		return undefined;
	}
}

async function readBounded(path: string): Promise<Uint8Array> {
	// A pipe without a writer would be waited for.
	const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
	try {
		const is = await file.stat();
		if (!is.isFile()) throw new Error("it is no file");
		if (is.size > KEPT_LIMIT_BYTES) throw new Error(`it has ${is.size} bytes`);
		return await file.readFile();
	} finally {
		await file.close();
	}
}

/** Keeps the file at the latest state: one write at a time, each whole or not at all. */
export class KeptFile {
	readonly #path: string;
	readonly #latest: () => KeptDesired | undefined;
	readonly #log: Logger;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#writing: Promise<void> | undefined;
	#changed = false;
	#failing = false;

	/** @param latest what is to be kept now; undefined: the file stays as it is. */
	constructor(path: string, latest: () => KeptDesired | undefined, log: Logger) {
		this.#path = path;
		this.#latest = latest;
		this.#log = log;
	}

	/** Something that is kept has changed. */
	touch(afterMs = COALESCE_MS): void {
		this.#changed = true;
		this.#timer ??= setTimeout(() => void this.flush(), afterMs);
	}

	/** Writes what has changed; resolves when it is durable, or has failed and is logged. */
	async flush(): Promise<void> {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		await this.#writing;
		if (!this.#changed) return;
		this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
		await this.#writing;
	}

	async #write(): Promise<void> {
		this.#changed = false;
		const kept = this.#latest();
		if (kept === undefined) return;
		try {
			await replaceFile(this.#path, encodeKept(KeptDesiredSchema, kept));
			if (this.#failing) this.#log.info("the rules are kept on disk again");
			this.#failing = false;
		} catch (thrown) {
			if (!this.#failing) this.#log.error(`the rules cannot be kept in ${this.#path}: ${errorText(thrown)}`);
			this.#failing = true;
			this.touch(RETRY_MS);
		}
	}
}

/** In one step, and durable: content before name, and the name before this returns. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
	const folder = dirname(path);
	const fresh = `${path}.new`;
	await makeFolder(folder);
	await rm(fresh, { force: true });
	try {
		const file = await open(fresh, "wx", 0o600);
		try {
			await file.writeFile(bytes);
			await file.sync();
		} finally {
			await file.close();
		}
		await rename(fresh, path);
	} catch (thrown) {
		await rm(fresh, { force: true }).catch(() => {});
		throw thrown;
	}
	const directory = await open(folder, "r");
	try {
		await directory.sync();
	} finally {
		await directory.close();
	}
}

/** That one alone: a data directory that was moved away finds its place free when it is moved back. */
async function makeFolder(path: string): Promise<void> {
	try {
		await mkdir(path, { mode: 0o700 });
	} catch (thrown) {
		if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
	}
}
