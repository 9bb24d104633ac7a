import type { Link } from "../reconcile/types.ts";

/** A link as the kernel reports it. */
export interface ReportedLink extends Omit<Link, "carrierEpoch"> {
	/** How often its carrier came, also between two reports. */
	readonly carrierUps: number;
}

type ObservedLink = Link & ReportedLink;

/** Which links are left out, though they are there. */
export interface Admission {
	/** What was opened on a link before this one, of the same index, is still open. */
	isOutlived(link: ReportedLink): boolean;
	/** One that the look before did not find is taken up; there was none before the first. */
	mayCome(isFirstLook: boolean): boolean;
}

/** For the log. */
export interface LinkChange {
	/** As it is named now. */
	readonly name: string;
	readonly text: string;
}

/** The host's links as they are now, with how often each came up since it was first seen. */
export class LinkObserver {
	readonly #dump: () => ReportedLink[];
	readonly #admission: Admission;
	#links: readonly ObservedLink[] | undefined;
	#awaited: readonly string[] = [];

	constructor(dump: () => ReportedLink[], admission: Admission) {
		this.#dump = dump;
		this.#admission = admission;
	}

	/** Names of those that are left out until what their predecessors left is closed. */
	get awaited(): readonly string[] {
		return this.#awaited;
	}

	get links(): readonly Link[] {
		return this.#links ?? [];
	}

	/** Dumps anew; says what changed. */
	refresh(): LinkChange[] {
		const before = new Map((this.#links ?? []).map((link) => [link.ifindex, link]));
		const mayCome = this.#admission.mayCome(this.#links === undefined);
		const awaited: string[] = [];
		const links: ObservedLink[] = [];
		for (const link of this.#dump()) {
			const previous = before.get(link.ifindex);
			if ((previous === undefined && !mayCome) || this.#admission.isOutlived(link)) {
				awaited.push(link.name);
				continue;
			}
			const cameUp = link.up && (previous?.up !== true || previous.carrierUps !== link.carrierUps);
			links.push({ ...link, carrierEpoch: (previous?.carrierEpoch ?? 0) + (cameUp ? 1 : 0) });
		}
		this.#awaited = awaited;
		this.#links = links;
		return describeChanges(before, links);
	}
}

function describeChanges(before: ReadonlyMap<number, Link>, links: readonly Link[]): LinkChange[] {
	const changes: LinkChange[] = [];
	const gone = new Map(before);
	for (const link of links) {
		const previous = gone.get(link.ifindex);
		gone.delete(link.ifindex);
		const { name } = link;
		const texts =
			previous === undefined
				? [`${name} appeared, ${link.up ? "up" : "down"}`]
				: describeChange(previous, link);
		changes.push(...texts.map((text) => ({ name, text })));
	}
	for (const { name } of gone.values()) changes.push({ name, text: `${name} is gone` });
	return changes;
}

function describeChange(previous: Link, link: Link): string[] {
	const lines: string[] = [];
	if (previous.name !== link.name) lines.push(`${previous.name} is now named ${link.name}`);
	if (previous.up !== link.up) lines.push(`${link.name} is ${link.up ? "up" : "down"}`);
	else if (previous.carrierEpoch !== link.carrierEpoch) lines.push(`${link.name} was down and is up again`);
	if (previous.mtu !== link.mtu) lines.push(`${link.name} has MTU ${link.mtu}, before ${previous.mtu}`);
	if (previous.addresses.join() !== link.addresses.join()) lines.push(`${link.name} has other addresses`);
	return lines;
}
