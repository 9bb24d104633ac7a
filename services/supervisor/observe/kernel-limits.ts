import { readFileSync } from "node:fs";

const IGMP_MAX_MSF = "/proc/sys/net/ipv4/igmp_max_msf";
const DEFAULT_MAX_MSF = 10;

/** How many single sources of one group a socket may join. */
export function sourcesPerGroup(): number {
	try {
		return Number.parseInt(readFileSync(IGMP_MAX_MSF, "utf8"), 10) || DEFAULT_MAX_MSF;
	} catch {
		return DEFAULT_MAX_MSF;
	}
}
