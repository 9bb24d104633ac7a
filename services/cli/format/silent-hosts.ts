import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import type { Host } from "@sluice/proto/gen/host";
import type { KeptOut, WhyKeptOut } from "../credentials/kept-out.ts";
import { formatDuration } from "./figures.ts";

type Seen = Pick<Host, "host" | "lastSeenSeconds" | "stopped">;

export function isSilent({ lastSeenSeconds, stopped }: Omit<Seen, "host">): boolean {
	return stopped || lastSeenSeconds > HOST_GONE_SECONDS;
}

/** One line for each host that was there and says nothing now: what is known of it is old. */
export function formatSilentHosts(hosts: Seen[], whyKeptOut: WhyKeptOut = () => undefined): string[] {
	return hosts.filter(isSilent).map((seen) => {
		const { host, lastSeenSeconds, stopped } = seen;
		const keptOut = whyKeptOut(host, lastSeenSeconds);
		if (keptOut !== undefined) return formatKeptOut(host, keptOut, seen);
		const remedy = stopped ? "start sluice up there" : "look at sluice up there, and whether it reaches NATS";
		return `host ${host} ${formatSilence(seen)}: ${remedy}`;
	});
}

const SHOWN_HOSTS = 8;

/** @param hosts may join, and no list has them. */
export function formatUnseen(hosts: readonly string[], whyKeptOut: WhyKeptOut = () => undefined): string[] {
	const lines: string[] = [];
	const silent: string[] = [];
	for (const host of hosts) {
		const keptOut = whyKeptOut(host);
		if (keptOut === undefined) silent.push(host);
		else lines.push(formatKeptOut(host, keptOut));
	}
	const [first, ...others] = silent;
	if (first === undefined) return lines;
	const more = silent.length > SHOWN_HOSTS ? ` and ${silent.length - SHOWN_HOSTS} more` : "";
	const [who, was, it, name] =
		others.length === 0
			? [`host ${first} has`, "was", "it", first]
			: [`hosts ${silent.slice(0, SHOWN_HOSTS).join(", ")}${more} have`, "were", "they", "ID"];
	const remedy = `look at sluice up there, or take them back with sluice credentials revoke host ${name}`;
	return [
		...lines,
		`${who} credentials, and ${was} not heard since nats-server started, though ${it} may relay: ${remedy}`,
	];
}

/** @param seen undefined: no list has the host. */
export function formatKeptOut(host: string, keptOut: KeptOut, seen?: Omit<Seen, "host">): string {
	const state = seen === undefined ? "is not known" : formatSilence(seen);
	if (keptOut.why === "made anew")
		return `host ${host} ${state}: its credentials were made anew since, as by sluice credentials host ${host} --renew: bring it ${keptOut.file}, and start sluice up there with it`;
	if (keptOut.why === "another server")
		return `host ${host} ${state}: its credentials know nats-server by another certificate than it shows now, or by none: bring them up to date with sluice credentials host ${host}, bring it ${keptOut.file}, and start sluice up there with it`;
	const none = "nats-server refuses it, since it has no credentials here: make some with";
	const make = `host ${host} ${state}: ${none} sluice credentials host ${host}`;
	if (seen === undefined) return make;
	return `${make}, or ${seen.stopped ? "" : "stop sluice up there, which relays on, and then "}sluice host forget ${host}`;
}

function formatSilence({ lastSeenSeconds, stopped }: Omit<Seen, "host">): string {
	const silence = lastSeenSeconds < 60 ? `${Math.floor(lastSeenSeconds)} s` : formatDuration(lastSeenSeconds);
	return stopped ? `was stopped ${silence} ago` : `not seen for ${silence}`;
}
