/** The bucket of rules at one time. */
export interface RulesSeen {
	readonly clusterId: string;
	/** When its stream was created, as its server says it. */
	readonly created: string;
	/** Of the stream. */
	readonly sequence: bigint;
	/** Its server has lost some of it and knows. */
	readonly damaged: boolean;
	readonly names: { has(name: string): boolean; keys(): Iterable<string>; readonly size: number };
}

/**
 * Why a host goes on with the rules it knows instead of those in the bucket; undefined: it
 * does not. Rules that are missing from the bucket they stood in were removed. Missing from
 * another one, or from one that is damaged or went back in time, they were lost. Pure.
 */
export function holdReason(known: RulesSeen, now: RulesSeen): string | undefined {
	const same = now.created === known.created && now.clusterId === known.clusterId;
	if (same && now.sequence >= known.sequence && !now.damaged) return undefined;
	const missing = [...known.names.keys()].filter((name) => !now.names.has(name)).length;
	if (missing === 0) return undefined;
	const how = same
		? now.damaged
			? "is damaged"
			: "went back in time"
		: now.clusterId === known.clusterId
			? "was made anew"
			: // A store that is lost at a start is stamped anew: nothing tells it from another cluster's.
				"is new or another cluster's";
	return (
		`the bucket of rules ${how} and lacks ${missing} of the ${known.names.size} that this host holds: ` +
		"sluice cluster restore puts them back, sluice cluster accept drops them"
	);
}
