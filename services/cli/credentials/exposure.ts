const WRITABLE_BY_OTHERS = 0o022;
const READABLE_BY_ALL = 0o004;

/**
 * What is to be done with a file of credentials before it is used; undefined: nothing. Its keys are somebody's voice in
 * the cluster, and its URL decides who is believed.
 */
export function exposureOf({
	mode,
	uid,
}: {
	readonly mode: number;
	readonly uid: number;
}): string | undefined {
	const trusted = [0, process.getuid?.(), Number(process.env["SUDO_UID"])];
	if (!trusted.includes(uid))
		return `belong to user ${uid}, who is neither root nor who asks: chown root, and chmod 600`;
	if ((mode & WRITABLE_BY_OTHERS) !== 0) return "may be changed by others: chmod 600";
	if ((mode & READABLE_BY_ALL) !== 0) return "may be read by others: chmod 600";
	return undefined;
}

/** What is to be done with a file of keys that cannot be read. A container's secrets keep the owners that they have on the host. */
export function remedyOf(error: unknown): string {
	const refused = error instanceof Error && "code" in error && error.code === "EACCES";
	return refused ? `chown ${process.getuid?.()}, or name another file` : "name another file";
}
