import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import type { Host } from "@sluice/proto/gen/host";
import { formatDuration } from "./figures.ts";

type Seen = Pick<Host, "host" | "lastSeenSeconds" | "stopped">;

export function isSilent({ lastSeenSeconds, stopped }: Omit<Seen, "host">): boolean {
	return stopped || lastSeenSeconds > HOST_GONE_SECONDS;
}

/** One line for each host that was there and says nothing now: what is known of it is old. */
export function formatSilentHosts(
	hosts: Seen[],
	isRefused: (host: string) => boolean = () => false,
): string[] {
	return hosts.filter(isSilent).map(({ host, lastSeenSeconds, stopped }) => {
		const silence = formatSilence(lastSeenSeconds);
		const state = stopped ? `was stopped ${silence} ago` : `not seen for ${silence}`;
		if (isRefused(host)) {
			const forget = `${stopped ? "" : "stop sluice up there, which relays on, and then "}sluice host forget ${host}`;
			return `host ${host} ${state}: nats-server refuses it, since it has no credentials here: make some with sluice credentials host ${host}, or ${forget}`;
		}
		const remedy = stopped ? "start sluice up there" : "look at sluice up there, and whether it reaches NATS";
		return `host ${host} ${state}: ${remedy}`;
	});
}

function formatSilence(seconds: number): string {
	return seconds < 60 ? `${Math.floor(seconds)} s` : formatDuration(seconds);
}
