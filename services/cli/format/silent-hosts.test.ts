import { expect, test } from "bun:test";
import { formatSilentHosts } from "./silent-hosts.ts";

test("a silent host is told with why, if that is known", () => {
	const hosts = [
		{ host: "a", lastSeenSeconds: 1, stopped: false },
		{ host: "b", lastSeenSeconds: 9.5, stopped: false },
		{ host: "c", lastSeenSeconds: 4, stopped: false },
		{ host: "d", lastSeenSeconds: 1, stopped: true },
	];
	expect(formatSilentHosts(hosts, (host) => host === "c")).toEqual([
		"host b not seen for 9 s: look at sluice up there, and whether it reaches NATS",
		"host c not seen for 4 s: nats-server refuses it, since it has no credentials here: make some with sluice credentials host c, or stop sluice up there, which relays on, and then sluice host forget c",
		"host d was stopped 1 s ago: start sluice up there",
	]);
});
