import type { NatsConnection } from "@nats-io/transport-node";
import { followHostRecords } from "@sluice/lib/host-records";
import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
import type { HostRecord } from "@sluice/proto/gen/host";
import type { KnownHosts } from "./belongs.ts";
import type { Fold } from "./fold.ts";
import type { FigureKeeper } from "./keep-figures.ts";

/** What hosts say of themselves, by which their figures are measured. */
export async function followHosts(
	nc: NatsConnection,
	fold: Fold,
	known: KnownHosts,
	keeper: Pick<FigureKeeper, "takeAnew">,
	onTrouble: (message: string) => void,
): Promise<BucketSnapshot<HostRecord>> {
	const hosts = await followHostRecords(nc, { onTrouble });
	for (const { value } of hosts.entries.values()) known.take(value);
	hosts.onChange(({ key, entry }) => {
		if (entry === undefined) {
			known.recordGone(key);
			return;
		}
		const { host, incarnation } = entry.value;
		known.take(entry.value);
		// Somebody had spoken of an up that never was, while the host itself had not spoken yet.
		if ((fold.hosts.get(host)?.incarnation ?? 0n) <= incarnation) return;
		fold.hosts.delete(host);
		keeper.takeAnew(host);
	});
	return hosts;
}
