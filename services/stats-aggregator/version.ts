/** Semantic version, as `$SRV.PING` shows it. */
export const VERSION = "0.1.0";
