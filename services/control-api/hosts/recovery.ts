import { create } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { SluiceError } from "@sluice/lib/errors";
import { isPresent } from "@sluice/lib/rule-status";
import {
	AcceptRequestSchema,
	AcceptResponseSchema,
	RecoverRequest_Action as Action,
	HeldRulesRequestSchema,
	HeldRulesResponseSchema,
	type RecoverRequest,
	type RecoverResponse,
	RecoverResponseSchema,
} from "@sluice/proto/gen/cluster";
import type { StoredRule } from "@sluice/proto/gen/rule";
import { hostAcceptSubject, hostHeldSubject } from "@sluice/proto/subjects";
import { limits } from "../rules/limits.ts";
import type { RuleBook } from "../rules/rule-book.ts";
import type { RuleWriter } from "../rules/rule-writer.ts";
import { canonicalRule } from "../rules/validate.ts";
import type { HostView } from "./host-view.ts";

const HOST_TIMEOUT_MS = 2_000;
/** Of the rules that a host holds. */
const NAMES_SHOWN = 5;
const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** After the bucket of rules was lost: its content is what hosts hold, until somebody says otherwise. */
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

	async handle({ action }: RecoverRequest): Promise<RecoverResponse> {
		if (Action[action] === undefined || action === Action.UNSET)
			throw new SluiceError("invalid", "action: expected RESTORE, ACCEPT or LOOK");
		const held = await this.#held();
		const hosts = [...held.keys()];
		const restored = action === Action.RESTORE ? await this.#restore(held) : [];
		if (action === Action.ACCEPT) await this.#accept(hosts);
		return create(RecoverResponseSchema, {
			hosts,
			restored,
			held: Array.from(held, ([host, rules]) => ({
				host,
				rules: rules.length,
				names: rules.slice(0, NAMES_SHOWN).map(({ rule }) => rule?.name ?? ""),
			})),
		});
	}

	/** Those that are there, in order of their names. */
	#holding(): string[] {
		if (!this.#hosts.snapshot.current || !this.#book.snapshot.current) {
			throw new SluiceError("unavailable", "the connection to NATS is away: try again in a few seconds");
		}
		return [...this.#hosts.observed().values()]
			.filter((seen) => seen.record.holding !== "" && isPresent(seen))
			.map(({ record }) => record.host)
			.sort();
	}

	/** By host; one that holds because of its protocol has lost nothing. */
	async #held(): Promise<ReadonlyMap<string, StoredRule[]>> {
		const held = new Map<string, StoredRule[]>();
		for (const host of this.#holding()) {
			const rules = await this.#heldBy(host).catch((thrown) => {
				throw silent(host, thrown);
			});
			if (rules.length > 0) held.set(host, rules);
		}
		return held;
	}

	/** What was stored since under the same name stays: somebody put it there on purpose. */
	async #restore(byHost: ReadonlyMap<string, readonly StoredRule[]>): Promise<string[]> {
		const held = new Map<string, StoredRule>();
		for (const [host, rules] of byHost) {
			for (const stored of rules) {
				const name = stored.rule?.name ?? "";
				// Hosts of one cluster held the same; when not, the first in order has the word.
				if (!held.has(name)) held.set(name, checked(host, stored));
			}
		}
		const result = await this.#writer.edit(() => ({
			puts: [...held].flatMap(([name, { rule }]) =>
				rule === undefined || this.#book.entries.has(name) ? [] : [rule],
			),
			removals: [],
			newUid: (name) => held.get(name)?.uid ?? crypto.randomUUID(),
		}));
		return [...result.revisions.keys()].sort();
	}

	async #heldBy(host: string): Promise<StoredRule[]> {
		const rules: StoredRule[] = [];
		let pageToken = "";
		do {
			const subject = hostHeldSubject(host);
			const request = { pageToken };
			const page = await call(
				this.#nc,
				subject,
				HeldRulesRequestSchema,
				HeldRulesResponseSchema,
				request,
				HOST_TIMEOUT_MS,
			);
			rules.push(...page.rules);
			// Also ends it with a host that goes round in circles.
			pageToken = page.nextPageToken > pageToken ? page.nextPageToken : "";
		} while (pageToken !== "" && rules.length <= limits.rules);
		return rules;
	}

	async #accept(hosts: readonly string[]): Promise<void> {
		const { created } = this.#book.snapshot.stream;
		await Promise.all(
			hosts.map((host) =>
				call(
					this.#nc,
					hostAcceptSubject(host),
					AcceptRequestSchema,
					AcceptResponseSchema,
					{ created },
					HOST_TIMEOUT_MS,
				),
			),
		);
	}
}

/** It may have just died. */
function silent(host: string, cause: unknown): SluiceError {
	const text = `host ${host} holds rules and does not say which: look at sluice up there, or try again in a few seconds`;
	return new SluiceError("timeout", text, { cause });
}

/** A host is believed no more than any other writer of rules. */
function checked(host: string, stored: StoredRule): StoredRule {
	if (!UID.test(stored.uid)) throw new SluiceError("invalid", `host ${host} holds a rule without a uid`);
	return { ...stored, rule: canonicalRule(stored.rule) };
}
