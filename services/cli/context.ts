import type { GlobalFlags } from "./global-flags.ts";
import type { Terminal } from "./terminal.ts";

/** What every command gets. */
export interface Context {
	readonly flags: GlobalFlags;
	readonly terminal: Terminal;
}
