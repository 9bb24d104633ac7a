import { errorText } from "@sluice/lib/errors";
import { forget, store } from "../fd-store.ts";
import type { Logger } from "../logger.ts";

/** Where descriptors go that the next supervisor is to have. */
export interface Keeping {
	/** Stays open here too. */
	keep(name: string, fds: readonly number[]): void;
	/** All of that name. */
	release(name: string): void;
}

export const NOTHING_KEPT: Keeping = { keep: () => {}, release: () => {} };

/**
 * With whoever started this process. What cannot be kept costs the next supervisor a new
 * start of what it belongs to, and this one nothing.
 */
export function keepWithKeeper(log: Logger): Keeping {
	let failing = false;
	const attempt = (step: () => boolean) => {
		try {
			step();
			failing = false;
		} catch (thrown) {
			if (!failing) log.warn(`descriptors cannot be kept for a successor: ${errorText(thrown)}`);
			failing = true;
		}
	};
	return {
		keep: (name, fds) => attempt(() => store(name, fds)),
		release: (name) => attempt(() => forget(name)),
	};
}
