import { ApplyResponse_Action, type Rule } from "@sluice/proto/gen/rule";
import { Claims } from "./claims.ts";
import { findCycles, inputPlace } from "./cycles.ts";
import { limits } from "./limits.ts";
import type { Plan } from "./plan.ts";
import type { RuleBook } from "./rule-book.ts";

/** What an edit of one rule is about. */
export interface EditSubject {
	readonly name: string;
	/** Canonical; absent: the rule is removed. */
	readonly rule?: Rule;
}

/**
 * What a long edit has to do with, so that edits of other rules need not wait for its end. An edit that
 * passes comes out the same before, amid and after the long one, were that undone or not: else it waits.
 */
export class EditUnderWay {
	/** New rules that passed: what the long edit prunes was chosen before them. */
	readonly passed = new Set<string>();
	readonly #book: Pick<RuleBook, "entries" | "byInput">;
	readonly #names = new Set<string>();
	/** Of its rules as they were and as they will be. */
	readonly #claims = new Claims();
	readonly #byInput = new Map<string, Map<string, Rule>>();
	/** Rules there may be besides those of before and those of after. */
	#room = 0;

	constructor(book: Pick<RuleBook, "entries" | "byInput">) {
		this.#book = book;
	}

	/** Of each plan of the edit: later ones begin amid what earlier ones wrote, and all of it may be undone. */
	take(plan: Plan): void {
		let added = 0;
		for (const { name, action, before, after } of plan.changes) {
			this.#names.add(name);
			if (action === ApplyResponse_Action.UNCHANGED) continue;
			if (before === undefined) added += 1;
			if (after === undefined) added -= 1;
			for (const rule of [before?.value.rule, after]) if (rule !== undefined) this.#reserve(rule);
		}
		const now = this.#book.entries.size;
		this.#room = limits.rules - Math.max(now, now + added);
	}

	/** Whether an edit has nothing to do with this one. */
	leavesAlone({ name, rule }: EditSubject): boolean {
		if (this.#names.has(name)) return false;
		if (rule === undefined) return true;
		if (!this.#book.entries.has(name) && this.#room <= this.passed.size) return false;
		return this.#claims.conflict(rule) === undefined && !this.#closesCycle(rule);
	}

	/** To be called before it is written. */
	notePassing({ name, rule }: EditSubject): void {
		if (rule !== undefined && !this.#book.entries.has(name)) this.passed.add(name);
	}

	#reserve(rule: Rule): void {
		this.#claims.add(rule);
		const place = inputPlace(rule);
		const rules = this.#byInput.get(place) ?? new Map<string, Rule>();
		this.#byInput.set(place, rules.set(rule.name, rule));
	}

	/** Then it is warned of rules that are not written yet, or of none that are going. */
	#closesCycle(rule: Rule): boolean {
		const stored = this.#book.byInput;
		const all = {
			get: (place: string) => {
				const ours = this.#byInput.get(place);
				const theirs = stored.get(place);
				const more = place === inputPlace(rule) ? [[rule.name, rule] as const] : [];
				if (more.length === 0 && (ours === undefined || theirs === undefined)) return ours ?? theirs;
				return new Map([...(theirs ?? []), ...(ours ?? []), ...more]);
			},
		};
		return findCycles([rule], all).length > 0;
	}
}
