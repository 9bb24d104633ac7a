import { readFileSync } from "node:fs";

/** The uid of a local user. Throws one line that says what to do when there is none. */
export function uidOf(user: string, passwd = readFileSync("/etc/passwd", "utf8")): number {
	for (const line of passwd.split("\n")) {
		const [name, , uid] = line.split(":");
		if (name === user) return Number(uid);
	}
	throw new Error(`user ${user} does not exist: run sudo ./sluice up, which creates it`);
}
