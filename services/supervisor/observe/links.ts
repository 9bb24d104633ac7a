import type { Link } from "../reconcile/types.ts";

/** A link as the kernel reports it. */
export type ReportedLink = Omit<Link, "carrierEpoch">;

/** The host's links as they are now, with how often each came up since it was first seen. */
export class LinkObserver {
	readonly #dump: () => ReportedLink[];
	readonly #isOutlived: (link: ReportedLink) => boolean;
	#links: readonly Link[] = [];
	#awaits = false;

	/** @param isOutlived what was opened on a link before this one, of the same index, is still open. */
	constructor(dump: () => ReportedLink[], isOutlived: (link: ReportedLink) => boolean = () => false) {
		this.#dump = dump;
		this.#isOutlived = isOutlived;
	}

	/** A link is left out until what its predecessor left is closed. */
	get awaits(): boolean {
		return this.#awaits;
	}

	get links(): readonly Link[] {
		return this.#links;
	}

	/** Dumps anew; says what changed, one line per link, for the log. */
	refresh(): string[] {
		const before = new Map(this.#links.map((link) => [link.ifindex, link]));
		const reported = this.#dump();
		const links = reported.filter((link) => !this.#isOutlived(link));
		this.#awaits = links.length < reported.length;
		this.#links = links.map((link) => {
			const previous = before.get(link.ifindex);
			const cameUp = link.up && previous?.up !== true;
			return { ...link, carrierEpoch: (previous?.carrierEpoch ?? 0) + (cameUp ? 1 : 0) };
		});
		return describeChanges(before, this.#links);
	}
}

function describeChanges(before: ReadonlyMap<number, Link>, links: readonly Link[]): string[] {
	const lines: string[] = [];
	const gone = new Map(before);
	for (const link of links) {
		const previous = gone.get(link.ifindex);
		gone.delete(link.ifindex);
		if (previous === undefined) lines.push(`${link.name} appeared, ${link.up ? "up" : "down"}`);
		else lines.push(...describeChange(previous, link));
	}
	for (const link of gone.values()) lines.push(`${link.name} is gone`);
	return lines;
}

function describeChange(previous: Link, link: Link): string[] {
	const lines: string[] = [];
	if (previous.name !== link.name) lines.push(`${previous.name} is now named ${link.name}`);
	if (previous.up !== link.up) lines.push(`${link.name} is ${link.up ? "up" : "down"}`);
	if (previous.mtu !== link.mtu) lines.push(`${link.name} has MTU ${link.mtu}, before ${previous.mtu}`);
	if (previous.addresses.join() !== link.addresses.join()) lines.push(`${link.name} has other addresses`);
	return lines;
}
