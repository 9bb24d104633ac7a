import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import type { Host } from "@sluice/proto/gen/host";
import { formatDuration } from "./figures.ts";

/** One line for each host that was there and says nothing now: what is known of it is old. */
export function formatSilentHosts(
	hosts: Pick<Host, "host" | "lastSeenSeconds">[],
	isRefused: (host: string) => boolean = () => false,
): string[] {
	return hosts
		.filter(({ lastSeenSeconds }) => lastSeenSeconds > HOST_GONE_SECONDS)
		.map(
			({ host, lastSeenSeconds }) =>
				`host ${host} not seen for ${formatSilence(lastSeenSeconds)}: ` +
				(isRefused(host)
					? `nats-server refuses it, since it has no credentials here: make some with sluice credentials host ${host}`
					: "look at sluice up there, and whether it reaches NATS"),
		);
}

function formatSilence(seconds: number): string {
	return seconds < 60 ? `${Math.floor(seconds)} s` : formatDuration(seconds);
}
