import { type FileHandle, open } from "node:fs/promises";
import { readBounded } from "@sluice/lib/bounded-text";
import { describeIssue, NAME_PATTERN, nkeyCredentials, serverTrust } from "@sluice/lib/config";
import { z } from "zod";
import { exposureOf, remedyOf } from "../credentials/exposure.ts";
import { CommandFailure, exitCodes, whyUnread } from "../failure.ts";
import { publicKeyOf } from "./identities.ts";
import type { UpOptions } from "./options.ts";

/** What zod says of it speaks of types. */
const missing = {
	error: ({ input }: { input?: unknown }) => (input === undefined ? "is missing" : undefined),
};
const seedOnly = z.strictObject(
	{ seed: nkeyCredentials.shape.seed.refine(isWhole, "is no nkey user seed that anybody made") },
	missing,
);

/** What a host brings that joins a cluster: one file with its keys, for this host and no other. */
export const hostCredentials = z.strictObject({
	kind: z.literal("host"),
	host: z.string(missing).regex(NAME_PATTERN, "is no host id"),
	url: z.string(missing).min(1),
	...serverTrust.shape,
	supervisor: seedOnly,
	worker: seedOnly,
	/** For people on that host who only look; it is left in the data directory there. */
	reader: seedOnly,
});
export type HostCredentials = z.output<typeof hostCredentials>;

const LIMIT_BYTES = 64 * 1024;

/**
 * @param onExposed what to do when others than root, and who called sudo, may read or change the file.
 * @throws CommandFailure when the file is not that of `hostId`, or, when that is undefined, of no host.
 */
export async function readHostCredentials(
	path: string,
	hostId?: string,
	onExposed: (line: string) => void = (line) => {
		throw refuse(line);
	},
): Promise<HostCredentials> {
	const { text, exposure } = await read(path);
	if (exposure !== undefined) onExposed(`credentials ${path} ${exposure}`);
	const credentials = parse(path, text, hostId);
	if (hostId === undefined || credentials.host === hostId) return credentials;
	throw refuse(
		`credentials ${path} are for host ${credentials.host} and this is ${hostId}: ` +
			`use --host-id ${credentials.host}, or the file of ${hostId}`,
	);
}

/**
 * A host's file says where the cluster is and who joins, so that it alone is enough; what is
 * given beside it wins. Another file in the environment changes nothing: `up` has its own credentials.
 * @param required the file was named on the command line, so that one that is not there is a mistake.
 */
export async function withHostFile(options: UpOptions, required: boolean): Promise<UpOptions> {
	const { credentialsFile: path, natsUrl } = options;
	if (path === undefined) return options;
	// With --nats the file is read again, and what is wrong with it said then.
	const isNeeded = required && natsUrl === undefined;
	const text = await read(path).then(
		(file) => file.text,
		(error: unknown) => {
			if (isNeeded) throw error;
			return "";
		},
	);
	if (!isNeeded && kindOf(text) !== "host") return options;
	const credentials = parse(path, text, options.hostId);
	const where = natsUrl === undefined ? { natsUrl: credentials.url, urlOfFile: true as const } : {};
	return { ...options, ...where, hostId: options.hostId ?? credentials.host };
}

async function read(path: string): Promise<{ readonly text: string; readonly exposure: string | undefined }> {
	let file: FileHandle | undefined;
	try {
		file = await open(path);
		const exposure = exposureOf(await file.stat());
		const stream = file.createReadStream({ autoClose: false });
		return { text: await readBounded(stream, path, LIMIT_BYTES), exposure };
	} catch (error) {
		throw refuse(`credentials file ${path} ${whyUnread(error)}: ${remedyOf(error)}`, error);
	} finally {
		await file?.close();
	}
}

/** @throws CommandFailure that quotes nothing of the text, which is secret. */
function parse(path: string, text: string, hostId?: string): HostCredentials {
	const again = `copy the file again that sluice credentials host ${hostId ?? "ID"} made`;
	const kind = kindOf(text);
	if (kind === undefined) throw refuse(`credentials ${path} are not JSON: ${again}`);
	if (kind !== "host") throw refuse(`credentials ${path} are ${kind}: ${needed(hostId)}`);
	const parsed = hostCredentials.safeParse(JSON.parse(text));
	if (parsed.success) return parsed.data;
	throw refuse(`credentials ${path}: ${describeIssue(parsed.error.issues[0])}: ${again}`, parsed.error);
}

/** Whose file it is, as a refusal says it; undefined: it is no JSON. People try the operator's first. */
function kindOf(text: string): string | undefined {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		return undefined;
	}
	const { kind, name } = looseFile.safeParse(value).data ?? {};
	if (kind === "host") return "host";
	if (name === "operator") return "the operator's, not a host's";
	if (name?.startsWith("orchestrator-") === true) return "an orchestrator's, not a host's";
	return "not those of a host";
}

const looseFile = z.object({ kind: z.unknown(), name: z.string().optional().catch(undefined) });

/** It carries a checksum. */
function isWhole(seed: string): boolean {
	try {
		publicKeyOf(seed);
		return true;
	} catch {
		return false;
	}
}

function needed(hostId = "ID"): string {
	return `--credentials needs the file that sluice credentials host ${hostId} made, no other`;
}

function refuse(message: string, cause?: unknown): CommandFailure {
	return new CommandFailure(exitCodes.failed, message, { cause });
}
