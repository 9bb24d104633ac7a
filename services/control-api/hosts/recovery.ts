import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { NAME_PATTERN } from "@sluice/lib/config";
import { SluiceError } from "@sluice/lib/errors";
import { protocolComplaint } from "@sluice/lib/protocol";
import { isPresent, type ObservedHost } from "@sluice/lib/rule-status";
import {
	AcceptRequestSchema,
	AcceptResponseSchema,
	RecoverRequest_Action as Action,
	HeldRulesRequestSchema,
	type HeldRulesResponse,
	HeldRulesResponseSchema,
	type RecoverRequest,
	type RecoverResponse,
	type RecoverResponse_HeldRuleSchema,
	type RecoverResponse_UnheardHostSchema,
	RecoverResponseSchema,
} from "@sluice/proto/gen/cluster";
import { hostAcceptSubject, hostHeldSubject, PROTOCOL_VERSION } from "@sluice/proto/subjects";
import { NOT_CURRENT } from "../not-current.ts";
import { limits } from "../rules/limits.ts";
import type { Edit } from "../rules/plan.ts";
import type { RuleBook } from "../rules/rule-book.ts";
import type { RuleWriter } from "../rules/rule-writer.ts";
import { HeldRules, type HeldVersion, type Untaken, type Weighed } from "./held-rules.ts";
import type { HostView } from "./host-view.ts";

const HOST_TIMEOUT_MS = 2_000;
/** Who tells of many rules has more time: all hosts that hold are asked at once. */
const RULE_TIMEOUT_MS = 0.25;
/** An answer has to fit a message. */
const shown = { names: 2_000, namesPerHost: 5, rules: 200, hostsPerRule: 8, reasonLength: 200 } as const;

type Unheard = MessageInitShape<typeof RecoverResponse_UnheardHostSchema> & { readonly host: string };

type Restored = Pick<Weighed, "left" | "overruled"> & { readonly restored: readonly string[] };

/**
 * After the bucket of rules was lost: its content is what hosts hold, until somebody says otherwise. What
 * one host holds or does not say never stands in the way of another's (ADR 0098).
 */
export class Recovery {
	readonly #nc: NatsConnection;
	readonly #hosts: HostView;
	readonly #book: RuleBook;
	readonly #writer: RuleWriter;

	constructor(nc: NatsConnection, hosts: HostView, book: RuleBook, writer: RuleWriter) {
		this.#nc = nc;
		this.#hosts = hosts;
		this.#book = book;
		this.#writer = writer;
	}

	async handle({ action, dryRun, without }: RecoverRequest): Promise<RecoverResponse> {
		if (Action[action] === undefined || action === Action.UNSET)
			throw new SluiceError("invalid", "action: expected RESTORE, ACCEPT or LOOK");
		const holding = this.#holding(without);
		const held = new HeldRules();
		const asked = holding.filter(isPresent).map(({ record }) => record.host);
		const silent = await each(asked, (host) => this.#hear(host, held));
		for (const { host } of silent) held.leaveOut(host);
		const hosts = asked.filter((host) => held.hosts.has(host));
		const before = held.weigh(this.#book);
		const { restored, left, overruled } =
			action === Action.RESTORE
				? await this.#restore(held, before, dryRun)
				: { ...before, restored: [], left: [] };
		const refused = action === Action.ACCEPT && !dryRun ? await this.#accept(hosts) : [];
		const refusing = new Set(refused.map(({ host }) => host));
		const dropped = before.missing.filter(
			(version) => action === Action.ACCEPT && version.hosts.isDisjointFrom(refusing),
		);
		return create(RecoverResponseSchema, {
			hosts,
			restored: [...restored],
			held: hosts.map((host) => ({
				...heldBy(host, before.missing, Math.floor(shown.names / hosts.length)),
				left: countOf(host, refusing.has(host) ? before.missing : left.map(({ version }) => version)),
			})),
			dropped: [...new Set(dropped.map(({ name }) => name))].slice(0, limits.rules),
			left: left.slice(0, shown.rules).map(heldRule),
			overruled: overruled.slice(0, shown.rules).map(heldRule),
			unheard: [...holding.flatMap(absence), ...silent, ...refused].sort((a, b) =>
				a.host < b.host ? -1 : 1,
			),
		});
	}

	/** In order of their names; one that holds because of its protocol, and is away, has lost nothing that is known. */
	#holding(without: readonly string[]): ObservedHost[] {
		if (!this.#hosts.snapshot.current || !this.#book.snapshot.current)
			throw new SluiceError("unavailable", NOT_CURRENT);
		const observed = this.#hosts.observed();
		for (const host of without) {
			const text = `without: there is no host ${JSON.stringify(host.slice(0, 64))}: see sluice host list`;
			if (!observed.has(host)) throw new SluiceError("not_found", text);
		}
		return [...observed.values()]
			.filter(({ record }) => record.holding !== "" && !without.includes(record.host))
			.sort((a, b) => (a.record.host < b.record.host ? -1 : 1));
	}

	/** All that the host holds, or it throws. */
	async #hear(host: string, held: HeldRules): Promise<void> {
		const startMs = performance.now();
		let count = 0;
		let last = "";
		let pageToken = "";
		do {
			const leftMs = startMs + HOST_TIMEOUT_MS + count * RULE_TIMEOUT_MS - performance.now();
			const page = await this.#page(host, pageToken, Math.min(Math.ceil(leftMs), HOST_TIMEOUT_MS));
			if (page === undefined) {
				const seconds = Math.round((performance.now() - startMs) / 1_000);
				const named = count === 0 ? "no rule" : `only ${count} rules`;
				throw new SluiceError("timeout", `it has named ${named} in ${seconds} s`);
			}
			for (const stored of page.rules) {
				const name = stored.rule?.name ?? "";
				count += 1;
				if (name <= last || !NAME_PATTERN.test(name) || count > limits.rules)
					throw new SluiceError("invalid", "what it says is no list of rules in order of their names");
				held.add(host, name, stored);
				last = name;
			}
			pageToken = page.nextPageToken;
		} while (pageToken !== "");
	}

	/** Undefined: it does not come in time. */
	async #page(host: string, pageToken: string, timeoutMs: number): Promise<HeldRulesResponse | undefined> {
		if (timeoutMs <= 0) return undefined;
		const subject = hostHeldSubject(host);
		const [request, response] = [HeldRulesRequestSchema, HeldRulesResponseSchema];
		try {
			return await call(this.#nc, subject, request, response, { pageToken }, timeoutMs);
		} catch (thrown) {
			if (thrown instanceof SluiceError && thrown.code === "timeout") return undefined;
			throw thrown;
		}
	}

	async #restore(held: HeldRules, before: Weighed, dryRun: boolean): Promise<Restored> {
		let weighed = before;
		const source = (): Edit => {
			weighed = held.weigh(this.#book);
			const rules = this.#book.entries.size + weighed.puts.length;
			if (rules > limits.rules) throw tooMany(rules, held.hosts, weighed.puts);
			const uids = new Map(weighed.puts.map(({ name, uid }) => [name, uid]));
			const newUid = (name: string) => uids.get(name) ?? crypto.randomUUID();
			return { puts: weighed.puts.map(({ rule }) => rule), removals: [], newUid };
		};
		if (dryRun) {
			this.#writer.preview(source);
			return { ...weighed, restored: weighed.puts.map(({ name }) => name) };
		}
		const { revisions } = await this.#writer.edit(source);
		return { ...weighed, restored: [...revisions.keys()].sort() };
	}

	/** @returns those that did not. */
	#accept(hosts: readonly string[]): Promise<Unheard[]> {
		const { created } = this.#book.snapshot.stream;
		return each(hosts, async (host) => {
			const subject = hostAcceptSubject(host);
			await call(this.#nc, subject, AcceptRequestSchema, AcceptResponseSchema, { created }, HOST_TIMEOUT_MS);
		});
	}
}

/** Asks all hosts at once. @returns those with which it went wrong. */
async function each(hosts: readonly string[], ask: (host: string) => Promise<void>): Promise<Unheard[]> {
	const failures = hosts.map(async (host) => {
		try {
			await ask(host);
			return [];
		} catch (thrown) {
			if (!(thrown instanceof SluiceError)) throw thrown;
			return [{ host, reason: thrown.message.slice(0, shown.reasonLength), away: false }];
		}
	});
	return (await Promise.all(failures)).flat();
}

function absence(seen: ObservedHost): Unheard[] {
	const { record, lastSeenSeconds } = seen;
	if (isPresent(seen) || protocolComplaint(record.protocolVersion, PROTOCOL_VERSION) !== undefined) return [];
	const reason = record.stopped ? "it was stopped" : `not seen for ${Math.floor(lastSeenSeconds)} s`;
	return [{ host: record.host, reason, away: true }];
}

function tooMany(rules: number, hosts: ReadonlySet<string>, puts: readonly HeldVersion[]): SluiceError {
	const most = [...hosts]
		.map((host) => ({ host, count: countOf(host, puts) }))
		.sort((a, b) => b.count - a.count)
		.slice(0, shown.namesPerHost)
		.map(({ host, count }) => `${host} holds ${count}`)
		.join(", ");
	const text = `rules: with those that hosts hold ${rules}, and a cluster has at most ${limits.rules}`;
	return new SluiceError("invalid", `${text} (${most}): leave out a host, or remove what is not needed`);
}

function heldBy(host: string, missing: readonly HeldVersion[], most: number) {
	const names = missing.filter(({ hosts }) => hosts.has(host)).map(({ name }) => name);
	return { host, rules: names.length, names: names.slice(0, Math.max(shown.namesPerHost, most)) };
}

function countOf(host: string, versions: readonly HeldVersion[]): number {
	return versions.filter(({ hosts }) => hosts.has(host)).length;
}

function heldRule({ version, reason }: Untaken): MessageInitShape<typeof RecoverResponse_HeldRuleSchema> {
	const hosts = [...version.hosts].sort().slice(0, shown.hostsPerRule);
	return { name: version.name, hosts, reason: reason.slice(0, shown.reasonLength) };
}
