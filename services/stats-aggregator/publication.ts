import type { CataloguedRule } from "./catalogue.ts";
import type { Fold } from "./fold.ts";

/** A rule that counts nothing is published this often all the same, for whoever began to listen. */
const REPEAT_MS = 10_000;

interface Published {
	readonly received: bigint;
	readonly flowing: boolean;
	readonly atMs: number;
}

/**
 * Which rules are worth a message now. Every figure of a rule changes only when it
 * receives, so that one sum decides; a rule that fell silent is published once more,
 * with its rates at zero.
 */
export class PublicationSchedule {
	#published = new Map<string, Published>();

	/** Takes what it returns as published. */
	due(fold: Fold, rules: readonly CataloguedRule[], nowMs: number): CataloguedRule[] {
		const published = new Map<string, Published>();
		const due: CataloguedRule[] = [];
		for (const rule of rules) {
			const received = receivedPackets(fold, rule.uid);
			const last = this.#published.get(rule.uid);
			const flowing = last !== undefined && received !== last.received;
			if (last === undefined || flowing || last.flowing || nowMs - last.atMs >= REPEAT_MS) {
				due.push(rule);
				published.set(rule.uid, { received, flowing, atMs: nowMs });
			} else {
				published.set(rule.uid, last);
			}
		}
		this.#published = published;
		return due;
	}
}

function receivedPackets(fold: Fold, uid: string): bigint {
	let sum = 0n;
	for (const host of fold.hosts.values()) {
		for (const worker of host.workers.values()) {
			sum += worker.latest?.rules.get(uid)?.receivedPackets ?? 0n;
		}
	}
	return sum;
}
