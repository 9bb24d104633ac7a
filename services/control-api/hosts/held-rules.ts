import { errorText, SluiceError } from "@sluice/lib/errors";
import type { Rule, StoredRule } from "@sluice/proto/gen/rule";
import { differenceLines, sameRule } from "../rules/difference.ts";
import type { RuleBook } from "../rules/rule-book.ts";
import { canonicalRule } from "../rules/validate.ts";

const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A rule as one or several hosts hold it. */
export interface HeldVersion {
	readonly name: string;
	readonly uid: string;
	/** Canonical; absent: it may not be stored. */
	readonly rule?: Rule;
	/** Why it may not be stored. */
	readonly fault: string;
	readonly hosts: Set<string>;
}

type SoundVersion = HeldVersion & { readonly rule: Rule };

/** A version that is not put back, and why. */
export interface Untaken {
	readonly version: HeldVersion;
	readonly reason: string;
}

/** What becomes of held rules beside those that are stored. */
export interface Weighed {
	/** What is not stored, in order of the names. */
	readonly missing: readonly HeldVersion[];
	/** Of the missing: what can be put back. */
	readonly puts: readonly SoundVersion[];
	/** Of the missing: what cannot. */
	readonly left: readonly Untaken[];
	/** Another version than the one that is stored, or will be. */
	readonly overruled: readonly Untaken[];
}

/** What hosts hold: a rule once for all hosts that hold the same. A host is believed no more than any other writer. Pure. */
export class HeldRules {
	readonly #versions = new Map<string, HeldVersion[]>();
	readonly #hosts = new Set<string>();

	/** Each name once for a host. */
	add(host: string, name: string, { rule, uid }: StoredRule): void {
		this.#hosts.add(host);
		const versions = this.#versions.get(name) ?? [];
		const same = versions.find(
			(version) =>
				version.uid === uid &&
				version.rule !== undefined &&
				rule !== undefined &&
				sameRule(version.rule, rule),
		);
		if (same !== undefined) same.hosts.add(host);
		else
			this.#versions.set(name, [...versions, { name, uid, ...checked(rule, uid), hosts: new Set([host]) }]);
	}

	/** Whoever holds any. */
	get hosts(): ReadonlySet<string> {
		return this.#hosts;
	}

	leaveOut(host: string): void {
		this.#hosts.delete(host);
		for (const [name, versions] of this.#versions) {
			for (const { hosts } of versions) hosts.delete(host);
			const left = versions.filter(({ hosts }) => hosts.size > 0);
			if (left.length === 0) this.#versions.delete(name);
			else this.#versions.set(name, left);
		}
	}

	/**
	 * What was stored since under the same name stays: somebody put it there on purpose. Where hosts
	 * disagree, nobody but the operator says who is right.
	 */
	weigh(book: Pick<RuleBook, "entries" | "obstacles">): Weighed {
		const missing: HeldVersion[] = [];
		const overruled: Untaken[] = [];
		const left: Untaken[] = [];
		const candidates = new Map<string, SoundVersion>();
		for (const [name, versions] of [...this.#versions].sort(([a], [b]) => (a < b ? -1 : 1))) {
			const sound = versions.filter(isSound);
			const stored = book.entries.get(name)?.value.rule;
			if (stored !== undefined) {
				const others = sound.filter(({ rule }) => !sameRule(rule, stored));
				overruled.push(
					...others.map((version) => ({ version, reason: differenceText(version.rule, stored) })),
				);
				continue;
			}
			missing.push(...versions);
			const [only, another] = sound;
			if (only !== undefined && another === undefined) candidates.set(name, only);
			const faulty = candidates.has(name) ? overruled : left;
			for (const version of versions) {
				if (!isSound(version)) faulty.push({ version, reason: version.fault });
				else if (another !== undefined) left.push({ version, reason: disagreement(version, sound) });
			}
		}
		for (const [name, other] of twins(book, candidates)) {
			const version = candidates.get(name);
			if (version !== undefined) left.push({ version, reason: `it has the uid of rule ${other}` });
			candidates.delete(name);
		}
		const obstacles = book.obstacles(Array.from(candidates.values(), ({ rule }) => rule));
		for (const [name, { other, text }] of obstacles) {
			const version = candidates.get(name);
			if (version === undefined) continue;
			const holder = candidates.get(other ?? "");
			left.push({ version, reason: holder === undefined ? text : `${text}, which ${firstOf(holder)} holds` });
		}
		const puts = [...candidates.values()].filter(({ name }) => !obstacles.has(name));
		return { missing, puts, left: left.sort(byNameAndHost), overruled: overruled.sort(byNameAndHost) };
	}
}

/** By name: another rule that has the same uid, by which hosts and figures tell rules apart. */
function twins(
	{ entries }: Pick<RuleBook, "entries">,
	candidates: ReadonlyMap<string, HeldVersion>,
): Map<string, string> {
	const names = new Map<string, string[]>();
	const note = (uid: string, name: string) => {
		const known = names.get(uid);
		if (known === undefined) names.set(uid, [name]);
		else if (known.length === 1) known.push(name);
	};
	for (const [name, { value }] of entries) note(value.uid, name);
	for (const [name, { uid }] of candidates) note(uid, name);
	const found = new Map<string, string>();
	for (const [name, { uid }] of candidates) {
		const other = names.get(uid)?.find((each) => each !== name);
		if (other !== undefined) found.set(name, other);
	}
	return found;
}

function isSound(version: HeldVersion): version is SoundVersion {
	return version.rule !== undefined;
}

function checked(rule: Rule | undefined, uid: string): Pick<HeldVersion, "rule" | "fault"> {
	if (!UID.test(uid)) return { fault: "it has no uid" };
	try {
		return { rule: canonicalRule(rule), fault: "" };
	} catch (thrown) {
		if (thrown instanceof SluiceError) return { fault: errorText(thrown) };
		throw thrown;
	}
}

function differenceText(held: Rule, stored: Rule): string {
	const [first = "", ...more] = differenceLines(held, stored);
	return more.length === 0 ? first : `${first} and ${more.length} more`;
}

function disagreement(version: HeldVersion, versions: readonly HeldVersion[]): string {
	const other = versions.find((each) => each !== version) ?? version;
	return `${firstOf(other)} holds another rule of that name`;
}

/** Hosts answer in any order. */
function byNameAndHost({ version: a }: Untaken, { version: b }: Untaken): number {
	return a.name === b.name ? (firstOf(a) < firstOf(b) ? -1 : 1) : a.name < b.name ? -1 : 1;
}

/** In order of their names. */
function firstOf({ hosts }: HeldVersion): string {
	return [...hosts].sort()[0] ?? "";
}
