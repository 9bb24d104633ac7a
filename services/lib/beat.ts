/** A timer may come a moment early, and must not come twice then. */
const EARLIEST_MS = 20;

/**
 * Calls back at each multiple of the period by the wall clock, moved by a part of a second that all of a host have in common
 * and hosts have each their own: the processes of a host wake together, which costs less than each by itself (ADR 0127), and
 * not all hosts speak to the cluster at once. A clock that is set moves one call.
 * @returns the way to stop.
 */
export function onBeat(host: string, eachMs: number, call: () => void): () => void {
	let timer: Timer;
	const next = () => {
		timer = setTimeout(
			() => {
				next();
				call();
			},
			untilBeatMs(host, eachMs),
		);
	};
	next();
	return () => clearTimeout(timer);
}

/** From now to the next of these moments, at most a little longer than the period. */
export function untilBeatMs(host: string, eachMs: number, nowMs = Date.now()): number {
	const leftMs = eachMs - ((nowMs + (Bun.hash.crc32(host) % 1_000)) % eachMs);
	return leftMs < EARLIEST_MS ? leftMs + eachMs : leftMs;
}
