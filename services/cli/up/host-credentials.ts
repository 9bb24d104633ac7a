import { readFile } from "node:fs/promises";
import { nkeyCredentials, serverTrust } from "@sluice/lib/config";
import { z } from "zod";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { UpOptions } from "./options.ts";

const seedOnly = z.strictObject({ seed: nkeyCredentials.shape.seed });

/** What a host brings that joins a cluster: one file with its keys, for this host and no other. */
export const hostCredentials = z.strictObject({
	kind: z.literal("host"),
	host: z.string().min(1),
	url: z.string().min(1),
	...serverTrust.shape,
	supervisor: seedOnly,
	worker: seedOnly,
	/** For people on that host who only look; it is left in the data directory there. */
	reader: seedOnly,
});
export type HostCredentials = z.output<typeof hostCredentials>;

/** @throws CommandFailure when the file is not that of `hostId`, or, when that is undefined, of no host. */
export async function readHostCredentials(path: string, hostId?: string): Promise<HostCredentials> {
	const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
		throw refuse(
			`credentials ${path} cannot be read (${error.code ?? error.message}): name another file`,
			error,
		);
	});
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		// The parser's message quotes the text, which is secret.
		throw refuse(`credentials ${path} are not JSON: ${needed(hostId)}`);
	}
	const parsed = hostCredentials.safeParse(value);
	if (!parsed.success) {
		throw refuse(`credentials ${path} are not those of a host: ${needed(hostId)}`, parsed.error);
	}
	if (hostId !== undefined && parsed.data.host !== hostId) {
		throw refuse(
			`credentials ${path} are for host ${parsed.data.host} and this is ${hostId}: ` +
				`use --host-id ${parsed.data.host}, or the file of ${hostId}`,
		);
	}
	return parsed.data;
}

/**
 * A host's file says where the cluster is and who joins, so that it alone is enough; what is
 * given beside it wins. Another file in the environment changes nothing: `up` has its own credentials.
 * @param required the file was named on the command line, so that one that is not there is a mistake.
 */
export async function withHostFile(options: UpOptions, required: boolean): Promise<UpOptions> {
	const { credentialsFile: path, natsUrl } = options;
	if (path === undefined) return options;
	const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
		// With --nats the file is read later, and missed then.
		if (natsUrl !== undefined || !required) return "";
		throw refuse(
			`credentials ${path} cannot be read (${error.code ?? error.message}): name another file`,
			error,
		);
	});
	const { host, url } = parseHostFile(text) ?? {};
	if (host === undefined || url === undefined) {
		// What stands in the environment is for commands; what is said here is meant.
		if (required && natsUrl === undefined)
			throw refuse(`credentials ${path} are not those of a host: ${needed(options.hostId)}`);
		return options;
	}
	const where = natsUrl === undefined ? { natsUrl: url, urlOfFile: true as const } : {};
	return { ...options, ...where, hostId: options.hostId ?? host };
}

function parseHostFile(text: string): HostCredentials | undefined {
	try {
		return hostCredentials.parse(JSON.parse(text));
	} catch {
		return undefined;
	}
}

/** What would do instead: people try the operator's file first. */
function needed(hostId = "ID"): string {
	return `--credentials needs the file that sluice credentials host ${hostId} made, no other`;
}

function refuse(message: string, cause?: unknown): CommandFailure {
	return new CommandFailure(exitCodes.failed, message, { cause });
}
