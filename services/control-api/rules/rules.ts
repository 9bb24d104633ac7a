import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import { HOST_GONE_SECONDS, type ObservedHost, ruleStatus, ruleStatusOn } from "@sluice/lib/rule-status";
import {
	type ApplyResponse,
	type ListRulesRequest,
	type ListRulesResponse,
	ListRulesResponseSchema,
	type PutRuleRequest,
	type PutRuleResponse,
	PutRuleResponseSchema,
	type RemoveRuleRequest,
	type RemoveRuleResponse,
	RemoveRuleResponseSchema,
	type Rule,
	type RuleStatus,
} from "@sluice/proto/gen/rule";
import { NOT_CURRENT } from "../not-current.ts";
import { applyResponse, canonicalFile, fileText } from "./apply-file.ts";
import { limits } from "./limits.ts";
import type { Edit } from "./plan.ts";
import type { RuleBook } from "./rule-book.ts";
import type { RuleWriter } from "./rule-writer.ts";
import type { WholeApply } from "./uploads.ts";
import { canonicalRule, checkName } from "./validate.ts";

/** Sees the hosts; `hosts/host-view.ts`, or a test's own. */
export interface HostSource {
	observed(): ReadonlyMap<string, ObservedHost>;
}

/** A page never needs more than about half a message, whatever the rules hold. */
const PAGE_BYTES = 1_500_000;
const CATCH_UP_MS = 3_000;

/** What can be done with rules, whichever edge it is asked at. */
export class Rules {
	readonly #book: RuleBook;
	readonly #writer: RuleWriter;
	readonly #hosts: HostSource;

	constructor(book: RuleBook, writer: RuleWriter, hosts: HostSource) {
		this.#book = book;
		this.#writer = writer;
		this.#hosts = hosts;
	}

	async put(request: PutRuleRequest): Promise<PutRuleResponse> {
		const rule = canonicalRule(request.rule);
		const uid = crypto.randomUUID();
		const edit = (): Edit => {
			this.#checkRevision(rule.name, request.expectedRevision, "put");
			return { puts: [rule], removals: [], newUid: () => uid };
		};
		const result = await this.#writer.edit(edit, { name: rule.name, rule });
		const written = result.revisions.get(rule.name);
		return create(PutRuleResponseSchema, {
			rule: this.#statusAfter(rule, written),
			warnings: [...result.warnings],
			changed: written !== undefined,
		});
	}

	async get(name: string): Promise<RuleStatus> {
		this.#requireCurrent();
		checkName("name", name);
		// Another instance may have just answered the put of it.
		if (!this.#book.entries.has(name)) await this.#book.snapshot.catchUp(CATCH_UP_MS);
		const entry = this.#book.entries.get(name);
		if (entry === undefined) throw noSuchRule(name);
		return ruleStatus(name, entry.value, entry.revision, this.#hosts.observed());
	}

	list(request: ListRulesRequest): ListRulesResponse {
		this.#requireCurrent();
		const hosts = this.#hosts.observed();
		const size = request.pageSize === 0 ? limits.pageRules : Math.min(request.pageSize, limits.pageRules);
		const names = this.#book.names;
		const statusOf = ruleStatusOn(hosts);
		const rules: RuleStatus[] = [];
		let bytes = 0;
		let k = firstAfter(names, request.pageToken);
		for (; k < names.length && rules.length < size && bytes < PAGE_BYTES; k += 1) {
			const name = names[k] ?? "";
			const entry = this.#book.entries.get(name);
			if (entry === undefined) continue;
			const status = statusOf(name, entry.value, entry.revision);
			bytes += jsonBytes(status);
			rules.push(status);
		}
		return create(ListRulesResponseSchema, {
			rules,
			nextPageToken: k < names.length ? (rules.at(-1)?.name ?? "") : "",
			warnings: request.pageToken === "" ? holdWarnings(hosts) : [],
		});
	}

	async remove(request: RemoveRuleRequest): Promise<RemoveRuleResponse> {
		checkName("name", request.name);
		const edit = (): Edit => {
			if (!this.#book.entries.has(request.name)) throw noSuchRule(request.name);
			this.#checkRevision(request.name, request.expectedRevision, "remove");
			return { puts: [], removals: [request.name], newUid: () => "" };
		};
		const result = await this.#writer.edit(edit, { name: request.name });
		return create(RemoveRuleResponseSchema, {
			name: request.name,
			revision: result.revisions.get(request.name) ?? this.#book.snapshot.lastSequence,
		});
	}

	async apply(request: WholeApply): Promise<ApplyResponse> {
		const rules = canonicalFile(request.rules, request.canonical);
		const names = new Set(rules.map((rule) => rule.name));
		const uids = new Map<string, string>();
		const edit = (passed: ReadonlySet<string>): Edit => ({
			puts: rules,
			removals: request.prune ? this.#book.names.filter((name) => !names.has(name) && !passed.has(name)) : [],
			pathOf: (k) => fileText(k, rules[k]),
			newUid: (name) => {
				const uid = uids.get(name) ?? crypto.randomUUID();
				uids.set(name, uid);
				return uid;
			},
		});
		const result = request.dryRun ? this.#writer.preview(edit) : await this.#writer.edit(edit);
		return applyResponse(result, this.#book.entries, request.dryRun);
	}

	#checkRevision(name: string, expected: bigint | undefined, verb: string): void {
		if (expected === undefined) return;
		const revision = this.#book.entries.get(name)?.revision ?? 0n;
		if (revision === expected) return;
		const stands =
			revision === 0n
				? `rule ${name} does not exist, revision ${expected} was expected: leave the expectation out to add it`
				: expected === 0n
					? `rule ${name} exists at revision ${revision}: choose another name, or expect that revision`
					: `rule ${name} is at revision ${revision}, not ${expected}: read it again, then ${verb} it`;
		throw new SluiceError("conflict", stands, { revision });
	}

	/** Somebody else may have replaced or removed it since: the answer is about what was written here. */
	#statusAfter(rule: Rule, written: bigint | undefined): RuleStatus {
		const entry = this.#book.entries.get(rule.name);
		if (entry === undefined)
			throw new SluiceError("conflict", `rule ${rule.name} was removed meanwhile`, { revision: 0n });
		return ruleStatus(rule.name, { ...entry.value, rule }, written ?? entry.revision, this.#hosts.observed());
	}

	#requireCurrent(): void {
		if (!this.#book.snapshot.current) {
			throw new SluiceError("unavailable", NOT_CURRENT);
		}
	}
}

function holdWarnings(hosts: ReadonlyMap<string, ObservedHost>): string[] {
	return [...hosts.values()]
		.filter(({ record, lastSeenSeconds }) => record.holding !== "" && lastSeenSeconds <= HOST_GONE_SECONDS)
		.sort((a, b) => (a.record.host < b.record.host ? -1 : 1))
		.slice(0, limits.warnings)
		.map(({ record }) => `host ${record.host}: ${record.holding}`);
}

function noSuchRule(name: string): SluiceError {
	return new SluiceError("not_found", `rule ${name} does not exist: sluice rule list shows those that do`);
}

/** Index of the first name after the token; the token need not exist any more. */
function firstAfter(names: readonly string[], token: string): number {
	if (token === "") return 0;
	let low = 0;
	let high = names.length;
	while (low < high) {
		const middle = (low + high) >>> 1;
		if ((names[middle] ?? "") <= token) low = middle + 1;
		else high = middle;
	}
	return low;
}

/** At least what the status takes as JSON, roughly. */
function jsonBytes(status: RuleStatus): number {
	const rule = status.rule;
	return (
		300 +
		130 * (rule?.outputs.length ?? 0) +
		22 * (rule?.input?.sources.length ?? 0) +
		70 * (rule?.hosts.length ?? 0) +
		140 * Object.keys(rule?.hostLabels ?? {}).length +
		status.hosts.reduce((sum, state) => sum + 60 + state.host.length + state.reason.length, 0)
	);
}
