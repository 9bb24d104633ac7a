import type { NatsConnection } from "@nats-io/transport-node";
import { accountSubject, connectionsSubject, requests, statsSubjects } from "@sluice/proto/subjects";

/** The server answers from memory; while it stands still nothing is lost by sending all. */
const ANSWER_LIMIT_MS = 500;
/** More than the server tells of by itself in one answer; where as many listen, they are taken to hear everything. */
const MOST_CONNECTIONS = 1_000;
/** Each rule's subjects are compared with each of them. */
const MOST_PATTERNS = 64;

const ASKED = JSON.stringify({
	subscriptions: true,
	filter_subject: statsSubjects,
	limit: MOST_CONNECTIONS,
});

/** Which subjects somebody listens to. */
export interface Listened {
	/** False: to none at all. */
	readonly any: boolean;
	has(subject: string): boolean;
}

export const EVERYTHING: Listened = { any: true, has: () => true };

/**
 * Whom the figures have as listeners, as the server knows it: of each connection with a subscription
 * to figures it tells all subscriptions.
 */
export async function listened(nc: Pick<NatsConnection, "info" | "request">): Promise<Listened> {
	// One of several servers would tell of its own connections alone.
	if (nc.info?.cluster !== undefined) return EVERYTHING;
	const ask = async (subject: string, asked?: string) =>
		JSON.parse((await nc.request(subject, asked, { timeout: ANSWER_LIMIT_MS })).string());
	const [account, connections] = await Promise.all([ask(accountSubject), ask(connectionsSubject, ASKED)]);
	return hasLeaves(account) ? EVERYTHING : listenedIn(connections);
}

/** Who listens behind a leaf node is no connection of this server's. @param answer its account's STATZ. */
function hasLeaves(answer: Statistics): boolean {
	return answer.data?.account_statz?.some(({ leafnodes = 0 }) => leafnodes > 0) !== false;
}

interface Statistics {
	readonly data?: { readonly account_statz?: readonly { readonly leafnodes?: number }[] };
}

/** @param answer a server's CONNZ. */
export function listenedIn(answer: unknown): Listened {
	const connections = (answer as Connections).data?.connections;
	if (!Array.isArray(connections)) throw new Error("the server does not tell who listens");
	if (connections.length >= MOST_CONNECTIONS) return EVERYTHING;
	const exact = new Set<string>();
	const patterns = new Map<string, RegExp>();
	for (const { subscriptions_list: subjects = [] } of connections) {
		for (const subject of subjects) {
			if (!mayHear(subject)) continue;
			if (!/[*>]/.test(subject)) exact.add(subject);
			else if (!patterns.has(subject)) patterns.set(subject, matching(subject));
		}
	}
	if (patterns.size > MOST_PATTERNS) return EVERYTHING;
	const wide = [...patterns.values()];
	return {
		any: exact.size + wide.length > 0,
		has: (subject) => exact.has(subject) || wide.some((pattern) => pattern.test(subject)),
	};
}

interface Connections {
	readonly data?: { readonly connections?: readonly { readonly subscriptions_list?: readonly string[] }[] };
}

const ROOT = statsSubjects.split(".").slice(0, -1);

/** Of those who hear figures it is told what else they hear. */
function mayHear(subject: string): boolean {
	// An aggregator's own, to be asked.
	if (subject === requests.statsGet) return false;
	const tokens = subject.split(".");
	const tail = tokens.indexOf(">");
	if (tail < 0 && tokens.length <= ROOT.length) return false;
	const known = tail < 0 ? ROOT.length : Math.min(tail, ROOT.length);
	return ROOT.slice(0, known).every((token, k) => tokens[k] === "*" || tokens[k] === token);
}

/** `*` is one token, `>` at the end is one or more. */
function matching(pattern: string): RegExp {
	const tokens = pattern.split(".").map((token, k, all) => {
		if (token === "*") return "[^.]+";
		return token === ">" && k === all.length - 1 ? ".+" : RegExp.escape(token);
	});
	return new RegExp(`^${tokens.join("\\.")}$`);
}
