import { readFileSync } from "node:fs";

export interface StopSignals {
	/** Resolves at the first signal that asks us to stop. */
	readonly stop: Promise<void>;
	/** Resolves at a later one: somebody is in a hurry. */
	readonly hasten: Promise<void>;
	readonly stopping: boolean;
	/** Gives the signals back to their defaults. */
	[Symbol.dispose](): void;
}

/**
 * One wish may come as several signals: Ctrl-C from the terminal to its whole process group and passed on by sudo,
 * a session's end as SIGHUP and SIGTERM.
 */
const ONCE_MS = 500;

export function stopSignals(now = () => performance.now()): StopSignals {
	const stop = Promise.withResolvers<void>();
	const hasten = Promise.withResolvers<void>();
	let firstMs: number | undefined;
	const onSignal = () => {
		firstMs ??= now();
		if (now() - firstMs > ONCE_MS) hasten.resolve();
		stop.resolve();
	};
	const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
	// Under nohup a closed terminal is none of our business.
	if (!isIgnored(SIGHUP)) signals.push("SIGHUP");
	for (const signal of signals) process.on(signal, onSignal);
	return {
		stop: stop.promise,
		hasten: hasten.promise,
		get stopping() {
			return firstMs !== undefined;
		},
		[Symbol.dispose]() {
			for (const signal of signals) process.off(signal, onSignal);
		},
	};
}

const SIGHUP = 1;

function isIgnored(signal: number): boolean {
	const mask = /^SigIgn:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
	return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}
