/** How bun treats memory, and what it compiles (scripts/container/bun-environment); tests with their own libsluice.so name it. */
const INHERITED = [
	"BUN_GC_TIMER_INTERVAL",
	"BUN_JSC_thresholdForFTLOptimizeAfterWarmUp",
	"MIMALLOC_PURGE_HOLES_MIN_INTERVAL",
	"SLUICE_LIB",
] as const;

/** All that a process of ours passes on of its environment to those that it starts. */
export function inheritedEnvironment(): Record<string, string> {
	const inherited: Record<string, string> = {};
	for (const name of INHERITED) {
		const value = process.env[name];
		if (value !== undefined) inherited[name] = value;
	}
	return inherited;
}
