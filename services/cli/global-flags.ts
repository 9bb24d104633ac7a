import { badValue } from "./failure.ts";
import { checkNatsUrl } from "./parse/nats-url.ts";

/** Flags every command takes, as commander collects them. */
export interface RawGlobalFlags {
	json?: boolean;
	dataDir?: string;
	nats?: string;
	credentials?: string;
	timeout?: string;
	debug?: boolean;
}

export interface GlobalFlags {
	json: boolean;
	dataDir: string;
	/** Absent: the URL in the credentials file. */
	natsUrl: string | undefined;
	/** Absent: this host's operator credentials in the data directory. */
	credentialsPath: string | undefined;
	timeoutMs: number;
	debug: boolean;
}

export const DEFAULT_DATA_DIR = "/var/lib/sluice";
export const DEFAULT_TIMEOUT_SECONDS = 5;

/** A flag wins over its environment variable; an empty variable counts as unset. */
export function resolveGlobalFlags(
	raw: RawGlobalFlags,
	env: Record<string, string | undefined>,
): GlobalFlags {
	return {
		json: raw.json ?? false,
		dataDir: raw.dataDir ?? (env["SLUICE_DATA_DIR"] || DEFAULT_DATA_DIR),
		natsUrl: natsUrl(raw.nats, env["SLUICE_NATS_URL"]),
		credentialsPath: raw.credentials ?? (env["SLUICE_CREDENTIALS"] || undefined),
		timeoutMs: parseTimeout(raw.timeout),
		debug: raw.debug ?? false,
	};
}

function natsUrl(flag: string | undefined, variable: string | undefined): string | undefined {
	if (flag !== undefined) return checkNatsUrl("--nats", flag);
	return variable === undefined || variable === "" ? undefined : checkNatsUrl("SLUICE_NATS_URL", variable);
}

function parseTimeout(text: string | undefined): number {
	if (text === undefined) return DEFAULT_TIMEOUT_SECONDS * 1_000;
	const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
	if (!(seconds > 0 && seconds <= 86_400))
		throw badValue(`--timeout ${text}`, "seconds, above 0 and at most 86400");
	return Math.ceil(seconds * 1_000);
}
