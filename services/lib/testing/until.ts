/** Waits for a condition; throws after the deadline, which is for what never comes: a loaded machine takes its time. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
	const deadline = performance.now() + timeoutMs;
	while (!(await condition())) {
		if (performance.now() > deadline)
			throw new Error(`not so after ${timeoutMs} ms: ${condition.toString()}`);
		await Bun.sleep(5);
	}
}
