import { existsSync } from "node:fs";
import { join } from "node:path";
import { CommandFailure } from "../failure.ts";
import { type NatsTls, readNatsTls } from "../up/nats-tls.ts";

/** Where compose.yaml mounts the folder that SLUICE_NATS_TLS names. */
const FOLDER = "/run/secrets/nats-tls";

/**
 * What nats-server is to show; undefined: it speaks no TLS.
 * @throws CommandFailure that names the file as whoever wrote .env knows it.
 */
export async function readContainerTls(
	environment: Readonly<Record<string, string | undefined>>,
): Promise<NatsTls | undefined> {
	const named = environment["SLUICE_NATS_TLS"] || undefined;
	if (named === undefined) return undefined;
	const ca = join(FOLDER, "ca.pem");
	const files = {
		certificate: join(FOLDER, "cert.pem"),
		key: join(FOLDER, "key.pem"),
		ca: existsSync(ca) ? ca : undefined,
	};
	try {
		return await readNatsTls(files);
	} catch (error) {
		if (!(error instanceof CommandFailure)) throw error;
		throw new CommandFailure(error.exitCode, asNamed(error.message, named), { cause: error });
	}
}

function asNamed(message: string, named: string): string {
	return message
		.replace(/--nats-tls-(cert|key|ca) (?=\/)/g, "SLUICE_NATS_TLS ")
		.replaceAll(FOLDER, named)
		.replace(/--nats-tls-(cert|key|ca)\b/g, join(named, "$1.pem"));
}
