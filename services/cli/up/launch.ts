import type { Account } from "./accounts.ts";

/**
 * argv that runs a program with no more than it needs. Whatever happens to the keeper, the
 * kernel ends its children: SIGTERM at its death. An unprivileged service has its own uid
 * and group, no other group, no capability, and no way to gain any.
 * @param account undefined: stays root.
 */
export function launchArgv(account: Account | undefined, argv: readonly string[]): string[] {
	const drop =
		account === undefined
			? []
			: [
					`--reuid=${account.uid}`,
					`--regid=${account.gid}`,
					"--clear-groups",
					"--no-new-privs",
					"--bounding-set=-all",
					"--inh-caps=-all",
				];
	return ["setpriv", ...drop, "--pdeathsig=TERM", "--", ...argv];
}
