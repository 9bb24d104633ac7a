/** What is sent, and what of it each stream sends. */

export interface Load {
	/** Over all streams. */
	readonly ratePps: number;
	/** Of UDP payload. */
	readonly sizeBytes: number;
	/** Datagrams of one stream back to back. */
	readonly burst: number;
	readonly seconds: number;
	/** The sink leaves their CPU to the generator, and drops, which is counted, what it has no time for. */
	readonly sinkYields?: boolean;
}

/**
 * Each stream's rate and number of datagrams. Whole bursts only: the generator gives a shorter last one the time of
 * a whole one, so that few and short ones would make the rate less than what was asked for.
 */
export function perStream(load: Load, streams: number): { rate: number; count: number } {
	const rate = Math.max(1, Math.round(load.ratePps / streams));
	const bursts = Math.max(1, Math.round((rate * load.seconds) / load.burst));
	return { rate, count: bursts * load.burst };
}
