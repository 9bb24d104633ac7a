import { readFile } from "node:fs/promises";
import { nkeyCredentials } from "@sluice/lib/config";
import { z } from "zod";
import { CommandFailure, exitCodes } from "../failure.ts";

const seedOnly = z.strictObject({ seed: nkeyCredentials.shape.seed });

/** What a host brings that joins a cluster: one file with both keys, for this host and no other. */
const hostCredentials = z.strictObject({
	kind: z.literal("host"),
	host: z.string().min(1),
	url: z.string().min(1),
	supervisor: seedOnly,
	worker: seedOnly,
});
export type HostCredentials = z.output<typeof hostCredentials>;

/** @throws CommandFailure when the file is not that of `hostId`. */
export async function readHostCredentials(path: string, hostId: string): Promise<HostCredentials> {
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
	if (parsed.data.host !== hostId) {
		throw refuse(
			`credentials ${path} are for host ${parsed.data.host} and this is ${hostId}: ` +
				`use --host-id ${parsed.data.host}, or the file of ${hostId}`,
		);
	}
	return parsed.data;
}

/** What would do instead: people try the operator's file first. */
function needed(hostId: string): string {
	return (
		`--credentials needs a JSON file with kind "host", host "${hostId}", url, ` +
		"and the nkey seeds of supervisor and worker, not an operator's file"
	);
}

function refuse(message: string, cause?: unknown): CommandFailure {
	return new CommandFailure(exitCodes.failed, message, { cause });
}
