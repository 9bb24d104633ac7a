import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import {
	type ApplyResponse,
	ApplyResponse_Action,
	type ApplyResponse_Change,
	ApplyResponse_ChangeSchema,
	ApplyResponseSchema,
	type Rule,
} from "@sluice/proto/gen/rule";
import { differenceLines } from "./difference.ts";
import { limits } from "./limits.ts";
import type { PlannedChange, StoredEntry } from "./plan.ts";
import type { EditResult } from "./rule-writer.ts";
import { canonicalRule } from "./validate.ts";

/**
 * All rules of a file in canonical form; the first that is wrong is named with its place.
 * @param canonical each of them is already.
 */
export function canonicalFile(rules: readonly Rule[], canonical = false): Rule[] {
	if (rules.length > limits.rules) {
		throw new SluiceError(
			"invalid",
			`rules: ${rules.length} are too many: a cluster has at most ${limits.rules}`,
		);
	}
	const seen = new Map<string, number>();
	return rules.map((given, k) => {
		const rule = canonical ? given : canonicalAt(k, given);
		const first = seen.get(rule.name);
		if (first !== undefined) {
			throw new SluiceError("invalid", `${fileText(k, rule)}name: the same as rules[${first}]: rename one`);
		}
		seen.set(rule.name, k);
		return rule;
	});
}

/** One rule of a file in canonical form; what is wrong is named with its place. */
export function canonicalAt(k: number, rule: Rule): Rule {
	try {
		return canonicalRule(rule);
	} catch (thrown) {
		if (!(thrown instanceof SluiceError)) throw thrown;
		throw new SluiceError(thrown.code, `${fileText(k, rule)}${thrown.message}`, { cause: thrown });
	}
}

/** Where in the file something is wrong: "rules[3] (video): ". */
export function fileText(k: number, rule: Rule | undefined): string {
	const name = rule?.name ?? "";
	return name === "" || name.length > 63 ? `rules[${k}]: ` : `rules[${k}] (${name}): `;
}

/** What an apply did, or with `dryRun` would do. */
export function applyResponse(
	result: EditResult,
	entries: ReadonlyMap<string, StoredEntry>,
	dryRun: boolean,
): ApplyResponse {
	const sorted = [...result.changes].sort((a, b) => (a.name < b.name ? -1 : 1));
	const count = (action: ApplyResponse_Action) => sorted.filter((change) => change.action === action).length;
	let linesLeft: number = limits.changeLines;
	const changes = sorted.map((change) => {
		const lines = changeLines(change);
		const shown = lines.length <= linesLeft ? lines : [`… ${lines.length} fields`];
		linesLeft -= shown.length;
		return create(ApplyResponse_ChangeSchema, {
			name: change.name,
			action: change.action,
			fields: shown,
			revision: changeRevision(change, result, entries, dryRun),
		});
	});
	return create(ApplyResponseSchema, {
		changes,
		warnings: [...result.warnings],
		added: count(ApplyResponse_Action.ADDED),
		changed: count(ApplyResponse_Action.CHANGED),
		removed: count(ApplyResponse_Action.REMOVED),
		unchanged: count(ApplyResponse_Action.UNCHANGED),
	});
}

function changeLines(change: PlannedChange): string[] {
	const before = change.before?.value.rule;
	if (change.action !== ApplyResponse_Action.CHANGED || before === undefined || change.after === undefined)
		return [];
	return differenceLines(before, change.after);
}

function changeRevision(
	change: PlannedChange,
	result: EditResult,
	entries: ReadonlyMap<string, StoredEntry>,
	dryRun: boolean,
): ApplyResponse_Change["revision"] {
	if (dryRun || change.action === ApplyResponse_Action.REMOVED) return 0n;
	return result.revisions.get(change.name) ?? entries.get(change.name)?.revision ?? 0n;
}
