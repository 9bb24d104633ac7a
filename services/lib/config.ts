import { z } from "zod";
import { SluiceError } from "./errors.ts";
import { ALL_HOSTS } from "./placement.ts";

/** By what a client knows its server: carried with its credentials. Nothing: the server speaks no TLS, or one signed by a public authority. */
export const serverTrust = z.object({
	/** Certificates of who signs the server's, PEM. */
	ca: z.string().startsWith("-----BEGIN CERTIFICATE-----").optional(),
	/** A name in its certificate, whatever address it is reached at; absent: that of the URL. */
	serverName: z.string().min(1).optional(),
});
export type ServerTrust = z.output<typeof serverTrust>;

export const nkeyCredentials = z.strictObject({
	kind: z.literal("nkey"),
	...serverTrust.shape,
	/** User seed, "SU…". */
	seed: z.string().regex(/^SU[A-Z2-7]{50,60}$/, "is not an nkey user seed"),
});
export type Credentials = z.output<typeof nkeyCredentials>;

export const logLevelName = z.enum(["trace", "debug", "info", "warn", "error"]);
export type LogLevelName = z.output<typeof logLevelName>;

/** Names of rules and hosts. */
export const NAME_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** What every service is told at its start; each extends it with its own. */
export const serviceConfig = z.strictObject({
	service: z.string().min(1),
	hostId: z
		.string()
		.regex(NAME_PATTERN)
		.refine((id) => id !== ALL_HOSTS, "is what rules mean every host by"),
	/** Unix milliseconds of this host's `up`, as decimal digits; compared as a number. */
	incarnation: z
		.string()
		.regex(/^[0-9]{1,19}$/)
		.transform((digits) => BigInt(digits)),
	natsUrl: z.string().min(1),
	credentials: nkeyCredentials,
	logLevel: logLevelName.default("info"),
	/** Touched each second while the service is well, for whoever watches over it (alive-file.ts). */
	aliveFile: z.string().startsWith("/").optional(),
});
export type ServiceConfig = z.output<typeof serviceConfig>;

export const aggregatorConfig = serviceConfig.extend({
	/** One `up` starts both: what the relay of this host counted in an earlier one is over. */
	startsWithRelay: z.boolean().default(false),
});

/** No start-up line is longer; a peer that sends more is not our parent. */
const CONFIG_LIMIT_BYTES = 1_000_000;

/**
 * Standard input, read once for the whole process: the first line is the
 * configuration, the end of it means that the parent is gone.
 */
class StandardInput {
	readonly line: Promise<string>;
	readonly end: Promise<void>;

	constructor() {
		const line = Promise.withResolvers<string>();
		const end = Promise.withResolvers<void>();
		// The end may come before anybody asked for the line.
		line.promise.catch(() => {});
		this.line = line.promise;
		this.end = end.promise;
		let text = "";
		let complete = false;
		const decoder = new TextDecoder();
		process.stdin.on("data", (chunk: Uint8Array) => {
			if (complete) return;
			text += decoder.decode(chunk, { stream: true });
			const newline = text.indexOf("\n");
			if (newline >= 0) {
				complete = true;
				line.resolve(text.slice(0, newline));
				text = "";
			} else if (text.length > CONFIG_LIMIT_BYTES) {
				complete = true;
				line.reject(new SluiceError("invalid", "configuration: the line on standard input is too long"));
			}
		});
		const ended = () => {
			if (text.trim() !== "" && !complete) line.resolve(text);
			line.reject(new SluiceError("invalid", "configuration: standard input ended before the first line"));
			end.resolve();
		};
		process.stdin.once("end", ended);
		process.stdin.once("error", ended);
	}
}

let standardInput: StandardInput | undefined;

function openStandardInput(): StandardInput {
	standardInput ??= new StandardInput();
	return standardInput;
}

/** Reads and checks the one JSON line that the parent writes at the start. */
export async function readStartupConfig<Schema extends z.ZodType>(schema: Schema): Promise<z.output<Schema>> {
	const line = await openStandardInput().line;
	let value: unknown;
	try {
		value = JSON.parse(line);
	} catch {
		// The line holds credentials, so the parser's message, which quotes it, is not passed on.
		throw new SluiceError("invalid", "configuration: the line on standard input is not JSON");
	}
	const parsed = schema.safeParse(value);
	if (parsed.success) return parsed.data;
	throw new SluiceError("invalid", `configuration: ${describeIssue(parsed.error.issues[0])}`);
}

/** Calls back when the parent closed our standard input, which only its death does unasked. */
export function onParentGone(callback: () => void): void {
	void openStandardInput().end.then(callback);
}

/** One line with the path of the field, from what zod found first. */
export function describeIssue(issue: z.core.$ZodIssue | undefined): string {
	if (issue === undefined) return "is not what was expected";
	const path = issue.path.reduce<string>((text, part) => {
		if (typeof part === "number") return `${text}[${part}]`;
		return text === "" ? String(part) : `${text}.${String(part)}`;
	}, "");
	return path === "" ? issue.message : `${path}: ${issue.message}`;
}
