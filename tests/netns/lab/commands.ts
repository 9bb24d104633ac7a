/**
 * Runs one program to its end, bounded in time. Everything a test starts goes
 * through here or through `Namespace.start`.
 */
export interface Outcome {
	code: number;
	stdout: string;
	stderr: string;
}

const DEFAULT_TIMEOUT_MS = 60_000;

export async function run(
	argv: string[],
	options: { input?: string; timeoutMs?: number } = {},
): Promise<Outcome> {
	const child = Bun.spawn(argv, {
		stdin: options.input === undefined ? "ignore" : new Blob([options.input]),
		stdout: "pipe",
		stderr: "pipe",
		timeout: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
		killSignal: "SIGKILL",
	});
	const [stdout, stderr] = await Promise.all([
		new Response(child.stdout).text(),
		new Response(child.stderr).text(),
	]);
	await child.exited;
	const code = child.exitCode ?? 128;
	return { code, stdout, stderr };
}

/** Like run(), but anything but exit code 0 is an error that shows what the program said. */
export async function must(
	argv: string[],
	options: { input?: string; timeoutMs?: number } = {},
): Promise<string> {
	const outcome = await run(argv, options);
	if (outcome.code !== 0) {
		throw new Error(`${argv.join(" ")}: exit ${outcome.code}\n${outcome.stderr}${outcome.stdout}`);
	}
	return outcome.stdout;
}

/** Asks again until `probe` answers something else than undefined; the deadline is generous on purpose. */
export async function until<T>(
	what: string,
	probe: () => Promise<T | undefined> | T | undefined,
	deadlineMs = 60_000,
	intervalMs = 20,
): Promise<T> {
	const end = Date.now() + deadlineMs;
	for (;;) {
		const answer = await probe();
		if (answer !== undefined) return answer;
		if (Date.now() > end) throw new Error(`still not so after ${deadlineMs} ms: ${what}`);
		await Bun.sleep(intervalMs);
	}
}
