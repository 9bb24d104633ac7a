import { readFileSync } from "node:fs";

export interface StopSignals {
	/** Resolves at the first signal that asks us to stop. */
	readonly stop: Promise<void>;
	/** Resolves at the second one: somebody is in a hurry. */
	readonly hasten: Promise<void>;
	readonly stopping: boolean;
	/** Gives the signals back to their defaults. */
	[Symbol.dispose](): void;
}

export function stopSignals(): StopSignals {
	const stop = Promise.withResolvers<void>();
	const hasten = Promise.withResolvers<void>();
	let stopping = false;
	const onSignal = () => {
		if (stopping) hasten.resolve();
		stopping = true;
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
			return stopping;
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
