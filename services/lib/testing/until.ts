/** Waits for a condition; throws after the deadline. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
	const deadline = performance.now() + timeoutMs;
	while (!(await condition())) {
		if (performance.now() > deadline)
			throw new Error(`not so after ${timeoutMs} ms: ${condition.toString()}`);
		await Bun.sleep(5);
	}
}
