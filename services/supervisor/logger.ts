import type { ServiceLogger } from "@sluice/lib/log";

/** The logger of one facility. */
export type Logger = ReturnType<ServiceLogger["facility"]>;
