/** Semantic version, as the host's record shows it. */
export const VERSION = "0.1.0";
