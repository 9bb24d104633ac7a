// Whoever owns the checkout runs what comes from it: root (the tests need root) must neither run a
// user's node_modules nor leave files that the user cannot remove.

import { statSync } from "node:fs";
import { join } from "node:path";

export const checkout: string = join(import.meta.dir, "..");

/** The command line that runs `argv` as the checkout's owner: `argv` itself unless root runs a user's checkout. */
export function asOwner(argv: readonly string[]): string[] {
	const { uid, gid } = statSync(checkout);
	if (process.getuid?.() !== 0 || uid === 0) return [...argv];
	const home = join(checkout, ".tools", "home");
	return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "env", `HOME=${home}`, ...argv];
}
