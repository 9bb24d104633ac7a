import { access, constants, lstat, stat } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { type CredentialsFile, connectNats, readCredentials } from "@sluice/lib/connect";
import { SluiceError } from "@sluice/lib/errors";
import { requests } from "@sluice/proto/subjects";
import type { Context } from "./context.ts";
import { exposureOf } from "./credentials/exposure.ts";
import { CommandFailure, exitCodes } from "./failure.ts";
import type { GlobalFlags } from "./global-flags.ts";
import { ConnectionLost, OwnConnection } from "./own-connection.ts";
import { whileServed } from "./served.ts";
import type { Terminal } from "./terminal.ts";
import { DataDir } from "./up/data-dir.ts";

/** The cluster as a command sees it: requests and their answers. */
export interface Cluster {
	/**
	 * Throws SluiceError; a CommandFailure when the connection is lost amid what may change something. What only reads is
	 * asked again then. `timeoutMs` defaults to --timeout.
	 */
	request<Request extends DescMessage, Response extends DescMessage>(
		subject: string,
		request: Request,
		response: Response,
		message: MessageInitShape<Request>,
		timeoutMs?: number,
	): Promise<MessageShape<Response>>;
	/** What a command is for, of control-api; it ends as soon as that is known to have ended amid `what`. */
	edit<T>(begin: () => Promise<T>, what: string): Promise<T>;
}

/** Connects with the operator's credentials, runs `body`, and closes the connection whatever happens. */
export async function withCluster<T>(
	{ flags, terminal }: Context,
	body: (cluster: Cluster) => Promise<T>,
): Promise<T> {
	const path = await credentialsPath(flags);
	const credentials = await readCredentials(path);
	if (flags.credentialsPath !== undefined) await warnOfExposure(path, terminal);
	const url = flags.natsUrl ?? credentials.url;
	const joined = path === joinedPath(flags);
	const nc = await openConnection(url, credentials, flags, joined);
	const own = new OwnConnection(nc);
	let doing = "the request, which may be carried out all the same: look, then try again";
	const lostAmid = (cause?: unknown) =>
		new CommandFailure(exitCodes.failed, `the connection to NATS at ${url} was lost amid ${doing}`, {
			cause,
		});
	try {
		return await body({
			request: async (subject, request, response, message, timeoutMs = flags.timeoutMs) => {
				const reads = readable.includes(subject);
				if (isReader(credentials) && !reads) throw readersOnly(joined);
				const ask = (leftMs: number) => call(nc, subject, request, response, message, leftMs);
				try {
					return await (reads ? own.untilAnswered(ask, timeoutMs) : own.once(ask, timeoutMs));
				} catch (error) {
					const lost = error instanceof ConnectionLost;
					if (lost && !reads) throw lostAmid(error);
					throw lost || own.away ? connectionLost(url, error) : withRemedy(error);
				}
			},
			edit: async (begin, what) => {
				doing = what;
				return await whileServed(nc, "sluice-control-api", begin, () =>
					own.away ? lostAmid() : new CommandFailure(exitCodes.failed, `control-api ended amid ${what}`),
				);
			},
		});
	} finally {
		await nc.close();
	}
}

function connectionLost(url: string, cause?: unknown): SluiceError {
	const message = `the connection to NATS at ${url} is lost: is sluice up still running there?`;
	return new SluiceError("unavailable", message, { cause });
}

/** What a service answers says what to do; that none answered has a cause, and a remedy only here. */
function withRemedy(error: unknown): unknown {
	if (!(error instanceof SluiceError) || error.cause === undefined) return error;
	const { code, message, cause } = error;
	const say = (remedy: string) => new SluiceError(code, `${message}: ${remedy}`, { cause });
	if (code === "timeout") return say("give it more time with --timeout, or look at the log of sluice up");
	if (code === "forbidden")
		return say("name a file that may with --credentials, or use sudo on the host where nats-server runs");
	if (code !== "unavailable") return error;
	return say("sluice up starts it again, so try in a few seconds, or look at its log");
}

async function openConnection(
	url: string,
	credentials: CredentialsFile,
	flags: GlobalFlags,
	joined: boolean,
): Promise<NatsConnection> {
	const { natsUrl, timeoutMs } = flags;
	try {
		return await connectNats({
			url,
			credentials,
			name: credentials.name,
			...(joined ? { host: hostOf(credentials) } : {}),
			timeoutMs,
			waitOnFirstConnect: false,
		});
	} catch (error) {
		if (!(error instanceof SluiceError)) throw error;
		if (error.code !== "unavailable") throw error;
		const remedy = natsUrl === undefined ? await remedyHere(flags, joined, url) : REMEDY_THERE;
		throw new CommandFailure(exitCodes.unreachable, `${error.message}: ${remedy}`, { cause: error });
	}
}

const REMEDY_THERE = "check --nats, or start it there with sudo ./sluice up";

async function remedyHere(
	{ credentialsPath, dataDir }: GlobalFlags,
	joined: boolean,
	url: string,
): Promise<string> {
	if (joined) return "check that sluice up runs there, or name it with --nats";
	if (credentialsPath !== undefined || !new DataDir(dataDir).isInUse)
		return "start it with sudo ./sluice up, or name it with --nats";
	if (await isGone(url))
		return "the address that --nats-listen names is gone from this host: give it back, or start sluice up with another";
	return "sluice up runs here and is starting it, so try in a few seconds, or look at its log";
}

/** Whether the server's address is none of this host's. An interface that is down keeps what it has. */
async function isGone(url: string): Promise<boolean> {
	const hostname = new URL(url).hostname.replace(/^\[|\]$/g, "");
	if (isIP(hostname) === 0) return false;
	try {
		(await Bun.udpSocket({ hostname })).close();
		return false;
	} catch (thrown) {
		return thrown instanceof Error && "code" in thrown && thrown.code === "EADDRNOTAVAIL";
	}
}

/** The identity of group sluice, and what the server lets it ask; here only for a clearer refusal. */
const READER = "reader";

/** Each host has its own: "reader.HOST". */
function isReader({ name }: CredentialsFile): boolean {
	return name.split(".", 1)[0] === READER;
}

function hostOf({ name }: CredentialsFile): string {
	return name.slice(`${READER}.`.length);
}

const readable: readonly string[] = [
	requests.ruleGet,
	requests.ruleList,
	requests.hostList,
	requests.workerList,
	requests.statsGet,
];

/** The server tells subjects apart, not what is in a request: showing log levels is one that can set them. */
function readersOnly(joined: boolean): CommandFailure {
	const who = joined
		? "a host that joined it may only send those that cannot: run it on the cluster's first host, or name an operator's or orchestrator's file with --credentials"
		: "members of group sluice may only send those that cannot: use sudo, or name a file with --credentials";
	return new CommandFailure(exitCodes.failed, `this request can change the cluster, and ${who}`);
}

/**
 * The file named, or one that `sluice up` leaves on this host: that of the cluster it joined; else root's; else that of
 * group sluice.
 */
async function credentialsPath(flags: GlobalFlags): Promise<string> {
	const folder = join(flags.dataDir, "credentials");
	const reader = join(folder, `${READER}.json`);
	const joined = joinedPath(flags);
	if (flags.credentialsPath === undefined && (await isFile(joined)) && (await isReadable(joined)))
		return joined;
	const path = flags.credentialsPath ?? join(folder, "operator.json");
	try {
		await access(path, constants.R_OK);
		return path;
	} catch (error) {
		if (flags.credentialsPath === undefined && (await isReadable(reader))) return reader;
		throw unreadable(path, flags, error);
	}
}

/**
 * A warning only: a container's secrets are mounted for all to read. Those that `up` leaves on this host are group
 * sluice's to read.
 */
async function warnOfExposure(path: string, terminal: Terminal): Promise<void> {
	const exposure = exposureOf(await stat(path));
	if (exposure !== undefined) terminal.note(`sluice: warning: credentials ${path} ${exposure}`);
}

function joinedPath({ dataDir }: GlobalFlags): string {
	return join(dataDir, "credentials", "joined.json");
}

/** @throws CommandFailure for what would not end, or leads elsewhere. */
async function isFile(path: string): Promise<boolean> {
	const is = await lstat(path).catch(() => undefined);
	if (is === undefined || is.isFile()) return is !== undefined;
	const remedy = "remove it, and start sluice up with --credentials FILE, which writes it anew";
	throw new CommandFailure(exitCodes.failed, `${path} is no file: ${remedy}`);
}

async function isReadable(path: string): Promise<boolean> {
	return await access(path, constants.R_OK).then(
		() => true,
		() => false,
	);
}

function unreadable(path: string, flags: GlobalFlags, error: unknown): CommandFailure {
	const code = error instanceof Error && "code" in error ? String(error.code) : "";
	if (code !== "ENOENT") {
		const complaint =
			code === "EACCES"
				? "may not be read: use sudo, or join the group sluice"
				: `cannot be read (${code}): name another file`;
		return new CommandFailure(exitCodes.failed, `credentials ${path} ${complaint}`, { cause: error });
	}
	if (flags.credentialsPath !== undefined) {
		return new CommandFailure(exitCodes.failed, `credentials ${path} do not exist: name another file`, {
			cause: error,
		});
	}
	// Nothing runs here, as far as this command can see.
	return new CommandFailure(
		exitCodes.unreachable,
		`no cluster on this host, ${path} does not exist: start it with sudo ./sluice up, or name a file with --credentials`,
		{ cause: error },
	);
}
