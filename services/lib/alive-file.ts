import { utimesSync, writeFileSync } from "node:fs";

const EACH_MS = 1_000;

/**
 * Touches a file each second while `isWell`, so that whoever looks at its time knows that this process
 * turns and serves: the healthcheck of a container, for which a request or a bun of its own would cost more
 * than the answer is worth.
 * @param path undefined: nobody looks.
 */
export function keepAliveFile(path: string | undefined, isWell: () => boolean): void {
	if (path === undefined) return;
	const touch = () => {
		if (!isWell()) return;
		const now = new Date();
		try {
			utimesSync(path, now, now);
		} catch {
			makeFile(path);
		}
	};
	touch();
	setInterval(touch, EACH_MS).unref();
}

function makeFile(path: string): void {
	try {
		writeFileSync(path, "");
	} catch {
		// Without the file the process is taken for unwell, which is what a disk that takes nothing deserves.
	}
}
