/** Unix milliseconds when this process began, and from then on by a clock that nobody sets. */
export function steadyNowMs(): number {
	return Math.round(performance.timeOrigin + performance.now());
}
