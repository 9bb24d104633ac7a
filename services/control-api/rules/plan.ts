import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import type { SnapshotEntry } from "@sluice/lib/kv-snapshot";
import { ApplyResponse_Action, type Rule, type StoredRule, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { type Cycle, findCycles, inputPlace } from "./cycles.ts";
import { sameRule } from "./difference.ts";
import { limits } from "./limits.ts";
import type { RuleIndex } from "./rule-index.ts";
import { findSharedOutputs, type SharedOutput } from "./shared-outputs.ts";
import { inputText } from "./validate.ts";

export type StoredEntry = SnapshotEntry<StoredRule>;

/** What somebody wants: canonical rules to be there, and names to be gone. */
export interface Edit {
	readonly puts: readonly Rule[];
	readonly removals: readonly string[];
	/** Begins an error about the k-th of `puts`: "rules[3] (video): ". */
	readonly pathOf?: (k: number) => string;
	/** The uid that a rule of this name gets if it is created; the same at every call. */
	readonly newUid: (name: string) => string;
}

/** One write to the bucket. */
export interface Write {
	readonly name: string;
	/** Absent: the rule is removed. */
	readonly stored: StoredRule | undefined;
	readonly previous: StoredEntry | undefined;
}

export interface PlannedChange {
	readonly name: string;
	readonly action: ApplyResponse_Action;
	readonly before: StoredEntry | undefined;
	readonly after: Rule | undefined;
}

export interface Plan {
	/** Removals, then changes, then additions, so that no moment has two rules on one key. */
	readonly writes: readonly Write[];
	readonly changes: readonly PlannedChange[];
	readonly warnings: readonly string[];
}

/**
 * What is to be written so that the edit holds. Throws `conflict` when two rules
 * would take the same datagrams and `invalid` when there would be too many. Leaves
 * entries and index as they are.
 */
export function planEdit(entries: ReadonlyMap<string, StoredEntry>, index: RuleIndex, edit: Edit): Plan {
	const changes = [
		...edit.removals.map((name) => plannedRemoval(entries, name)),
		...edit.puts.map((rule) => plannedPut(entries, rule)),
	].filter((change) => change.before !== undefined || change.after !== undefined);
	const warnings = checkTogether(index, edit, changes);
	const writes = changes
		.filter((change) => change.action !== ApplyResponse_Action.UNCHANGED)
		.map((change) => writeOf(change, edit))
		.sort((a, b) => writeRank(a) - writeRank(b));
	return { writes, changes, warnings };
}

function plannedRemoval(entries: ReadonlyMap<string, StoredEntry>, name: string): PlannedChange {
	return { name, action: ApplyResponse_Action.REMOVED, before: entries.get(name), after: undefined };
}

function plannedPut(entries: ReadonlyMap<string, StoredEntry>, rule: Rule): PlannedChange {
	const before = entries.get(rule.name);
	const stored = before?.value.rule;
	const action =
		stored === undefined
			? ApplyResponse_Action.ADDED
			: sameRule(stored, rule)
				? ApplyResponse_Action.UNCHANGED
				: ApplyResponse_Action.CHANGED;
	return { name: rule.name, action, before, after: rule };
}

function writeOf(change: PlannedChange, edit: Edit): Write {
	const { name, before, after } = change;
	if (after === undefined) return { name, stored: undefined, previous: before };
	// An edited rule goes on counting under its uid.
	const uid = before?.value.uid ?? edit.newUid(name);
	return { name, stored: create(StoredRuleSchema, { rule: after, uid }), previous: before };
}

function writeRank(write: Write): number {
	if (write.stored === undefined) return 0;
	return write.previous === undefined ? 2 : 1;
}

/** Tries the edit on the index, which is as before when this returns or throws. */
function checkTogether(index: RuleIndex, edit: Edit, changes: readonly PlannedChange[]): string[] {
	const effective = changes.filter((change) => change.action !== ApplyResponse_Action.UNCHANGED);
	const removed: Rule[] = [];
	const added: Rule[] = [];
	try {
		for (const { before } of effective) {
			if (before?.value.rule === undefined) continue;
			index.remove(before.value.rule);
			removed.push(before.value.rule);
		}
		for (const { after } of effective) {
			if (after === undefined) continue;
			refuseConflict(index, after, edit);
			index.add(after);
			added.push(after);
		}
		if (index.size > limits.rules && added.length > 0) {
			throw new SluiceError(
				"invalid",
				`rules: ${index.size} are too many: a cluster has at most ${limits.rules}`,
			);
		}
		const warnings = [
			...findCycles(added, index.byInput).map(cycleWarning),
			...findSharedOutputs(added, index.byOutput).map(sharedWarning),
		];
		return warnings.slice(0, limits.warnings);
	} finally {
		for (const rule of added) index.remove(rule);
		for (const rule of removed) index.add(rule);
	}
}

function refuseConflict(index: RuleIndex, rule: Rule, edit: Edit): void {
	const taken = takenBy(index, rule);
	if (taken === undefined) return;
	const path = edit.pathOf?.(edit.puts.indexOf(rule)) ?? "";
	const other = index.byInput.get(inputPlace(rule))?.get(taken.other);
	const labelled = [rule, other].some((each) => Object.keys(each?.hostLabels ?? {}).length > 0);
	const apart = labelled
		? "both labels that exclude each other, or name different hosts in both"
		: "them different hosts";
	const text = `${path}${taken.text}`;
	// A rule that was given another name in a file stands in its own way.
	if (edit.pathOf !== undefined && !edit.puts.some(({ name }) => name === taken.other))
		throw new SluiceError(
			"conflict",
			`${text}, which is not named here: remove it, as prune does, change one of the two, or give ${apart}`,
		);
	throw new SluiceError("conflict", `${text}: change one of the two, or give ${apart}`);
}

/** What keeps a rule from being stored. */
export interface Obstacle {
	/** The rule in its way. */
	readonly other?: string;
	readonly text: string;
}

function takenBy(index: RuleIndex, rule: Rule): Required<Obstacle> | undefined {
	const conflict = index.conflict(rule);
	if (conflict === undefined || rule.input === undefined) return undefined;
	const { other, prefix } = conflict;
	const vlan = rule.input.vlan === undefined ? "" : ` vlan ${rule.input.vlan}`;
	const source = prefix === "0.0.0.0/0" ? "any source" : prefix;
	return { other, text: `input: ${inputText(rule.input)}${vlan} from ${source} is taken by rule ${other}` };
}

/**
 * What is in the way of new rules, by name: a rule that is stored, or another one of them, which
 * then has the same in its way. Nothing for those that go together. Leaves the index as it is.
 */
export function findObstacles(index: RuleIndex, rules: readonly Rule[]): ReadonlyMap<string, Obstacle> {
	const found = new Map<string, Obstacle>();
	const look = (rule: Rule) => {
		const obstacle = obstacleTo(index, rule);
		if (obstacle !== undefined) found.set(rule.name, obstacle);
	};
	for (const rule of rules) look(rule);
	const free = rules.filter(({ name }) => !found.has(name));
	try {
		for (const rule of free) index.add(rule);
		for (const rule of free) look(rule);
	} finally {
		for (const rule of free) index.remove(rule);
	}
	return found;
}

function obstacleTo(index: RuleIndex, rule: Rule): Obstacle | undefined {
	try {
		return takenBy(index, rule);
	} catch (thrown) {
		if (thrown instanceof SluiceError) return { text: thrown.message };
		throw thrown;
	}
}

function cycleWarning(names: Cycle): string {
	const shown = names.slice(0, limits.namesPerWarning).join(", ");
	const more = names.length - limits.namesPerWarning;
	return (
		`rules ${shown}${more > 0 ? ` and ${more} more` : ""} lead in a circle: one host never captures what it sent itself, ` +
		"but two hosts on the same networks would feed each other"
	);
}

function sharedWarning({ place, names, more }: SharedOutput): string {
	return (
		`rules ${names.join(", ")}${more ? " and more" : ""} send to ${place}: whoever listens there gets their streams mixed; ` +
		"give each another address or port, unless that is meant"
	);
}
