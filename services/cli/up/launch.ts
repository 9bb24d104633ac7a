import type { Account } from "./accounts.ts";

/**
 * What the supervisor needs, each with its reason in docs/security.md. A root process has
 * at most what its bounding set has, and so do the programs that it starts.
 */
export const SUPERVISOR_CAPABILITIES = [
	"bpf",
	"kill",
	"net_admin",
	"net_bind_service",
	"net_raw",
	"setgid",
	"setpcap",
	"setuid",
	"sys_nice",
] as const;

/**
 * argv that runs a program with no more than it needs. Whatever happens to the keeper, the
 * kernel ends its children: SIGTERM at its death. An unprivileged service has its own uid
 * and group, no other group, no capability, and no way to gain any.
 * @param account undefined: stays root, with no capability but these.
 */
export function launchArgv(account: Account | undefined, argv: readonly string[]): string[] {
	const drop =
		account === undefined
			? [`--bounding-set=-all,${SUPERVISOR_CAPABILITIES.map((name) => `+${name}`).join(",")}`]
			: [`--reuid=${account.uid}`, `--regid=${account.gid}`, "--clear-groups", "--bounding-set=-all"];
	return ["setpriv", ...drop, "--no-new-privs", "--inh-caps=-all", "--pdeathsig=TERM", "--", ...argv];
}
