import { type Authenticator, connect, errors, type NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { Admission, type AdmissionOptions } from "./admission.ts";
import { onBeat } from "./beat.ts";
import { readBoundedFile } from "./bounded-text.ts";
import { type Credentials, describeIssue, nkeyCredentials } from "./config.ts";
import { errorText, SluiceError } from "./errors.ts";
import { nkeyUser } from "./nkey.ts";
import { refusal, tlsOptions, untrusted } from "./server-trust.ts";

export interface ConnectOptions extends AdmissionOptions {
	readonly credentials?: Credentials;
	/** Names the connection and its inboxes: `_INBOX.<name>`. */
	readonly name: string;
	/** The host on whose beat the server is asked whether it is there. */
	readonly beat?: string;
	/** For each attempt to connect, or for all of them where nobody waits. Default 5,000. */
	readonly timeoutMs?: number;
	/** A service waits for its server; a command wants to know at once. Default true. */
	readonly waitOnFirstConnect?: boolean;
}

const ATTEMPT_MS = 5_000;
/** From the moment in which a server reads its users anew. */
const AGAIN_AFTER_MS = 50;
/** Of a command's time, what the first of two attempts has. */
const FIRST_PART = 1 / 5;

/**
 * Connects with the options a long-lived service needs: it never gives up, and a
 * frozen server is noticed in about ten seconds. A server that reads its users anew
 * refuses whoever has not said yet who it is, or hangs up (ADR 0093, 0137): once means nothing.
 */
export async function connectNats(options: ConnectOptions): Promise<NatsConnection> {
	const startedMs = performance.now();
	const { timeoutMs = ATTEMPT_MS, waitOnFirstConnect = true } = options;
	const firstMs = waitOnFirstConnect ? timeoutMs : timeoutMs * FIRST_PART;
	try {
		return await connectOnce(options, firstMs, startedMs);
	} catch (thrown) {
		if (!(thrown instanceof SluiceError)) throw thrown;
		const isLate = thrown.cause instanceof errors.TimeoutError;
		if (thrown.code !== "unauthenticated" && !isLate) throw thrown;
		if (!isLate) await Bun.sleep(AGAIN_AFTER_MS);
		return await connectOnce(options, timeoutMs - (isLate ? firstMs : 0), startedMs);
	}
}

async function connectOnce(
	options: ConnectOptions,
	timeoutMs: number,
	startedMs: number,
): Promise<NatsConnection> {
	const { url, credentials, name, waitOnFirstConnect = true } = options;
	const admission = new Admission(options);
	const once = { servers: url.split(","), name, timeout: timeoutMs, ...tlsOptions(url, credentials) };
	if (waitOnFirstConnect) admission.look(once);
	try {
		const nc = await connect({
			...once,
			inboxPrefix: `_INBOX.${name}`,
			waitOnFirstConnect,
			reconnect: true,
			maxReconnectAttempts: -1,
			reconnectDelayHandler: reconnectWait(() => admission.inVain),
			// Ours come with what else wakes the host's processes.
			pingInterval: CLIENT_PINGS_EACH_MS,
			ignoreAuthErrorAbort: true,
			// A stack trace taken for every request shows in the profile of a pipelined apply.
			noAsyncTraces: true,
			...(credentials === undefined ? {} : { authenticator: authenticator(credentials, admission) }),
		});
		void admission.follow(nc);
		keepAsking(nc, options.beat ?? name);
		return nc;
	} catch (thrown) {
		admission.end();
		if (thrown instanceof errors.AuthorizationError)
			throw new SluiceError("unauthenticated", refusal(options), { cause: thrown });
		const distrust = untrusted(options, thrown);
		if (distrust !== undefined) throw distrust;
		const why = await whyUnreachable(url, thrown, performance.now() - startedMs);
		throw new SluiceError("unavailable", `NATS at ${url} is not reachable: ${why}`, { cause: thrown });
	}
}

const PING_EACH_MS = 5_000;
const MOST_UNANSWERED = 2;
const CLIENT_PINGS_EACH_MS = 24 * 3_600_000;

/** A server that answers neither of two pings stands still: the next attempt may reach one that does not. */
function keepAsking(nc: NatsConnection, beat: string): void {
	let unanswered = 0;
	let connected = true;
	const stop = onBeat(beat, PING_EACH_MS, () => {
		if (!connected) return;
		if (unanswered === MOST_UNANSWERED) return void nc.reconnect();
		unanswered += 1;
		nc.flush().then(
			() => {
				unanswered = 0;
			},
			() => {},
		);
	});
	void (async () => {
		for await (const { type } of nc.status()) {
			if (type === "disconnect") connected = false;
			else if (type === "reconnect") {
				connected = true;
				unanswered = 0;
			}
		}
	})();
	void nc.closed().then(stop);
}

function authenticator({ seed }: Credentials, admission: Admission): Authenticator {
	const user = nkeyUser(seed);
	return (nonce) => {
		admission.asked();
		return user(nonce);
	};
}

const RECONNECT_MS = 250;
const RECONNECT_JITTER_MS = 100;
/** Whoever is refused, or does not believe the server, only fills its log until somebody does something. */
const RECONNECT_IN_VAIN_MS = 5_000;

/**
 * How long after the last attempt the next one comes. The client takes that from the wall clock: when this was set
 * back by an hour it would wait an hour, so that then the next attempt comes at once.
 */
export function reconnectWait(isInVain: () => boolean): () => number {
	const ahead = () => Date.now() - performance.now();
	let before = ahead();
	return () => {
		const now = ahead();
		const wasSetBack = now < before - RECONNECT_MS;
		before = now;
		if (wasSetBack) return Number.NEGATIVE_INFINITY;
		return isInVain() ? RECONNECT_IN_VAIN_MS : RECONNECT_MS + Math.random() * RECONNECT_JITTER_MS;
	};
}

/** The kernel asks three times, a second each, for a neighbour that is not there. */
const NO_NEIGHBOUR_MS = 2_500;

/** Bun says of every attempt that failed that it was refused; whoever refuses does so at once. */
async function whyUnreachable(url: string, thrown: unknown, tookMs: number): Promise<string> {
	const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
	if (code === "ENOTFOUND") return "nobody knows that name";
	if (code === "EAI_AGAIN") return "no name server answers for that name";
	const refused = thrown instanceof errors.ConnectionError;
	if (NO_ROUTE.includes(code) || (refused && !(await hasRoute(url)))) return "this host has no route there";
	const late = refused && tookMs > NO_NEIGHBOUR_MS;
	if (!late && !(thrown instanceof errors.TimeoutError)) return errorText(thrown);
	return `no answer within ${tookMs < 1_000 ? `${Math.ceil(tookMs)} ms` : `${Math.round(tookMs / 100) / 10} s`}`;
}

const NO_ROUTE: readonly unknown[] = ["ENETUNREACH", "EAFNOSUPPORT", "EADDRNOTAVAIL"];

/** Of several servers they are not asked about. A UDP socket that is connected sends nothing, and says why it cannot. */
async function hasRoute(url: string): Promise<boolean> {
	try {
		const { hostname } = new URL(url.includes("://") ? url : `nats://${url}`);
		const address = hostname.replace(/^\[|\]$/g, "");
		(await Bun.udpSocket({ connect: { hostname: address, port: 9 } })).close();
		return true;
	} catch (thrown) {
		return !(thrown instanceof Error && "code" in thrown && NO_ROUTE.includes(thrown.code));
	}
}

const credentialsFile = z.strictObject({
	...nkeyCredentials.shape,
	/** Identity, as the server's permissions know it. */
	name: z.string().min(1),
	url: z.string().min(1),
	/** In what a joined host keeps, for `up` alone. */
	joinedWith: z.string().optional(),
});
export type CredentialsFile = z.output<typeof credentialsFile>;

const REMEDY = "name another file, or, if it is one that sluice up wrote, stop and start that";

const CREDENTIALS_LIMIT_BYTES = 64 * 1024;

/** Reads a credentials file as `sluice up` writes it. */
export async function readCredentials(path: string): Promise<CredentialsFile> {
	let text: string;
	try {
		text = await readBoundedFile(path, CREDENTIALS_LIMIT_BYTES);
	} catch (thrown) {
		if (thrown instanceof SluiceError) throw new SluiceError(thrown.code, `credentials ${thrown.message}`);
		throw new SluiceError(
			"forbidden",
			`credentials ${path} cannot be read: ${errorText(thrown)}: ${REMEDY}`,
			{
				cause: thrown,
			},
		);
	}
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		throw new SluiceError("invalid", `credentials ${path}: not JSON: ${REMEDY}`);
	}
	const parsed = credentialsFile.safeParse(value);
	if (parsed.success) return parsed.data;
	const complaint = isHostFile(value)
		? "a host's, for sluice up: give an operator's or orchestrator's, or leave it out where that host runs"
		: `${describeIssue(parsed.error.issues[0])}: ${REMEDY}`;
	throw new SluiceError("invalid", `credentials ${path}: ${complaint}`);
}

/** What `sluice credentials host` makes, which holds several keys. */
function isHostFile(value: unknown): boolean {
	return typeof value === "object" && value !== null && "kind" in value && value.kind === "host";
}
