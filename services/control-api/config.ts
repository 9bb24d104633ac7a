import { serviceConfig } from "@sluice/lib/config";
import { z } from "zod";

export const controlApiConfig = serviceConfig.extend({
	httpAddress: z.string().min(1).default("127.0.0.1"),
	/** 0: any free port; the ready line says which. */
	httpPort: z.int().min(0).max(65_535).default(7080),
	/** Whoever has it may write over HTTP. */
	httpToken: z.string().min(16),
	/** Names under which a proxy leads here; they are accepted in the Host header. */
	httpHosts: z.array(z.string().min(1)).max(16).default([]),
	/** Only this cluster's buckets will do; absent: whatever is there. */
	clusterId: z.string().min(1).optional(),
});
export type ControlApiConfig = z.output<typeof controlApiConfig>;
