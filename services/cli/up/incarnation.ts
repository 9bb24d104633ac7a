import { readFile } from "node:fs/promises";
import type { DataDir } from "./data-dir.ts";
import type { KeeperLog } from "./log-stream.ts";

/**
 * Names this run of `up`: Unix milliseconds, and always more than the one before. A clock that was set back, or a
 * machine that starts in 1970 until it is told the time, would else be taken for an older run of itself: its figures
 * would be left out as long as the clock is behind.
 */
export async function nextIncarnation(
	dataDir: Pick<DataDir, "incarnation" | "write">,
	log: Pick<KeeperLog, "warn">,
	nowMs = Date.now(),
): Promise<bigint> {
	const text = await readFile(dataDir.incarnation, "utf8").catch(() => "");
	const last = /^[0-9]{1,18}\n$/.test(text) ? BigInt(text.trim()) : 0n;
	const next = last >= BigInt(nowMs) ? last + 1n : BigInt(nowMs);
	// A full disk keeps nobody from starting.
	await dataDir.write(dataDir.incarnation, `${next}\n`, 0o600).catch((error: unknown) => {
		const why = error instanceof Error ? error.message : String(error);
		log.warn(
			`this start is not noted: should the clock go back, figures of the next one are left out: ${why}`,
		);
	});
	return next;
}
