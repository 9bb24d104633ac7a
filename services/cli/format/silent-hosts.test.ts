import { expect, test } from "bun:test";
import { formatKeptOut, formatSilentHosts, formatUnseen } from "./silent-hosts.ts";

test("a silent host is told with why, if that is known", () => {
	const hosts = [
		{ host: "a", lastSeenSeconds: 1, stopped: false },
		{ host: "b", lastSeenSeconds: 9.5, stopped: false },
		{ host: "c", lastSeenSeconds: 4, stopped: false },
		{ host: "d", lastSeenSeconds: 1, stopped: true },
		{ host: "e", lastSeenSeconds: 4, stopped: false },
	];
	const none = { why: "no credentials" } as const;
	const anew = { why: "made anew", file: "/x/host-e.json" } as const;
	expect(formatSilentHosts(hosts, (host) => ({ c: none, e: anew })[host])).toEqual([
		"host b not seen for 9 s: look at sluice up there, and whether it reaches NATS",
		"host c not seen for 4 s: nats-server refuses it, since it has no credentials here: make some with sluice credentials host c, or stop sluice up there, which relays on, and then sluice host forget c",
		"host d was stopped 1 s ago: start sluice up there",
		"host e not seen for 4 s: its credentials were made anew since, as by sluice credentials host e --renew: bring it /x/host-e.json, and start sluice up there with it",
	]);
	expect(formatKeptOut("g", { why: "another server", file: "/x/host-g.json" })).toBe(
		"host g is not known: its credentials know nats-server by another certificate than it shows now, or by none: bring them up to date with sluice credentials host g, bring it /x/host-g.json, and start sluice up there with it",
	);
	expect(formatKeptOut("f", none)).toBe(
		"host f is not known: nats-server refuses it, since it has no credentials here: make some with sluice credentials host f",
	);
});

test("hosts that may join and were not heard are told in one line, but those that are kept out", () => {
	expect(formatUnseen([])).toEqual([]);
	expect(formatUnseen(["b"])).toEqual([
		"host b has credentials, and was not heard since nats-server started, though it may relay: look at sluice up there, or take them back with sluice credentials revoke host b",
	]);
	const older = { why: "another server", file: "/x/host-a.json" } as const;
	const many = ["a", ..."bcdefghijk"];
	expect(formatUnseen(many, (host) => ({ a: older })[host])).toEqual([
		formatKeptOut("a", older),
		"hosts b, c, d, e, f, g, h, i and 2 more have credentials, and were not heard since nats-server started, though they may relay: look at sluice up there, or take them back with sluice credentials revoke host ID",
	]);
});
