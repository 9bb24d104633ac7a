/** Waits for the first of these, or for the time; leaves no timer behind that would hold up the exit. */
export async function within(ms: number, ...events: readonly Promise<unknown>[]): Promise<void> {
	let timer: Timer | undefined;
	const timeout = new Promise<void>((resolve) => {
		timer = setTimeout(resolve, ms);
	});
	try {
		await Promise.race([...events, timeout]);
	} finally {
		clearTimeout(timer);
	}
}
