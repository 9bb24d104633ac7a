import { SluiceError } from "@sluice/lib/errors";
import { excludeEachOther, type Labels } from "@sluice/lib/labels";
import { ALL_HOSTS } from "@sluice/lib/placement";
import type { Rule } from "@sluice/proto/gen/rule";
import { limits } from "./limits.ts";

/** Two rules that would take the same datagrams. */
export interface Conflict {
	readonly other: string;
	/** Source prefix that both name. */
	readonly prefix: string;
}

interface Claimants {
	/** Rules on all hosts, or on some that are not named, with the labels these must have. */
	readonly everywhere: Map<string, Labels>;
	readonly byHost: Map<string, Set<string>>;
}

const ANY_SOURCE_TEXT = "0.0.0.0/0";

/**
 * Which rule claims which datagrams: interface, VLAN, group, port and source
 * prefix, per host. Finds in constant time what a rule conflicts with. Pure but
 * for its own maps; rules must be canonical.
 */
export class Claims {
	readonly #claims = new Map<string, Claimants>();

	add(rule: Rule): void {
		for (const prefix of prefixesOf(rule)) {
			const claimants = this.#claimants(claimKey(rule, prefix));
			if (isEverywhere(rule)) claimants.everywhere.set(rule.name, rule.hostLabels);
			else for (const host of rule.hosts) setOf(claimants.byHost, host).add(rule.name);
		}
	}

	remove(rule: Rule): void {
		for (const prefix of prefixesOf(rule)) {
			const key = claimKey(rule, prefix);
			const claimants = this.#claims.get(key);
			if (claimants === undefined) continue;
			claimants.everywhere.delete(rule.name);
			for (const host of rule.hosts) {
				const names = claimants.byHost.get(host);
				names?.delete(rule.name);
				if (names?.size === 0) claimants.byHost.delete(host);
			}
			if (claimants.everywhere.size === 0 && claimants.byHost.size === 0) this.#claims.delete(key);
		}
	}

	/** The first other rule that claims what this one would. */
	conflict(rule: Rule): Conflict | undefined {
		for (const prefix of prefixesOf(rule)) {
			const claimants = this.#claims.get(claimKey(rule, prefix));
			if (claimants === undefined) continue;
			const other = otherClaimant(claimants, rule);
			if (other !== undefined) return { other, prefix };
		}
		return undefined;
	}

	#claimants(key: string): Claimants {
		const known = this.#claims.get(key);
		if (known !== undefined) return known;
		const created: Claimants = { everywhere: new Map(), byHost: new Map() };
		this.#claims.set(key, created);
		return created;
	}
}

/**
 * A rule without hosts runs where nobody can tell beforehand, so it counts as on every one. Hosts
 * may change their labels at any time, so only rules whose labels exclude each other stay apart.
 */
function isEverywhere(rule: Rule): boolean {
	return rule.hosts.length === 0 || rule.hosts.includes(ALL_HOSTS);
}

/** False when no host can run both. */
export function mayShareHost(a: Rule, b: Rule): boolean {
	if (a.hosts.length === 0 && b.hosts.length === 0) return !excludeEachOther(a.hostLabels, b.hostLabels);
	return isEverywhere(a) || isEverywhere(b) || a.hosts.some((host) => b.hosts.includes(host));
}

function prefixesOf(rule: Rule): readonly string[] {
	const sources = rule.input?.sources ?? [];
	return sources.length === 0 ? [ANY_SOURCE_TEXT] : sources;
}

function claimKey(rule: Rule, prefix: string): string {
	const input = rule.input;
	return `${input?.interface}|${input?.vlan ?? 0}|${input?.group}|${input?.port}|${prefix}`;
}

function otherClaimant(claimants: Claimants, rule: Rule): string | undefined {
	for (const [name, labels] of claimants.everywhere) {
		if (name !== rule.name && !excludeEachOther(labels, rule.hostLabels)) return name;
	}
	const others = claimants.everywhere.size - (claimants.everywhere.has(rule.name) ? 1 : 0);
	if (others >= limits.labelledRulesPerInput) {
		throw new SluiceError(
			"invalid",
			`input: ${limits.labelledRulesPerInput} rules with labels have this one already: name hosts instead`,
		);
	}
	const hosts = isEverywhere(rule) ? claimants.byHost.keys() : rule.hosts;
	for (const host of hosts) {
		const names = claimants.byHost.get(host);
		const other = names === undefined ? undefined : otherThan(names, rule.name);
		if (other !== undefined) return other;
	}
	return undefined;
}

function otherThan(names: ReadonlySet<string>, own: string): string | undefined {
	for (const name of names) if (name !== own) return name;
	return undefined;
}

function setOf(map: Map<string, Set<string>>, key: string): Set<string> {
	const known = map.get(key);
	if (known !== undefined) return known;
	const created = new Set<string>();
	map.set(key, created);
	return created;
}
