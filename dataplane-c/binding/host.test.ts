import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type Link, probeFeatures, readLinks } from "./host.ts";

interface IpAddress {
	ifname: string;
	ifindex: number;
	mtu: number;
	flags: string[];
	address?: string;
	link_type: string;
	addr_info: { family: string; local: string; secondary?: boolean }[];
}

function dotted(address: number): string {
	return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** undefined: the link was gone before this was asked. */
function carrierUps(name: string): number | undefined {
	const path = `/sys/class/net/${name}/carrier_up_count`;
	try {
		return Number(readFileSync(path, "utf8"));
	} catch {
		return undefined;
	}
}

function linksByIp() {
	const shown = JSON.parse(Bun.spawnSync(["ip", "-json", "addr"]).stdout.toString()) as IpAddress[];
	return shown.map((link) => ({
		name: link.ifname,
		ifindex: link.ifindex,
		mtu: link.mtu,
		up: link.flags.includes("UP"),
		running: link.flags.includes("LOWER_UP"),
		carrierUps: carrierUps(link.ifname),
		loopback: link.flags.includes("LOOPBACK"),
		addresses: link.addr_info.filter(({ family }) => family === "inet").map(({ local }) => local),
	}));
}

function linksByLibrary() {
	return readLinks().map(({ mac: _, addresses, ...link }) => ({ ...link, addresses: addresses.map(dotted) }));
}

test("links and addresses are those that ip shows", () => {
	// Something else on this machine may change links between the two.
	const endMs = performance.now() + 20_000;
	const both = () => [linksByLibrary(), linksByIp()];
	let [ours, shown] = both();
	while (!Bun.deepEquals(ours, shown) && performance.now() < endMs) [ours, shown] = both();
	expect(ours).toEqual(shown);
});

test("the loopback has no MAC and is at 127.0.0.1", () => {
	const { name, mac, addresses } = readLinks().find(({ loopback }) => loopback) as Link;
	expect({ name, mac, first: dotted(addresses[0] ?? 0) }).toEqual({
		name: "lo",
		mac: "00:00:00:00:00:00",
		first: "127.0.0.1",
	});
});

test("features name the kernel", () => {
	const { kernelMajor, kernelMinor } = probeFeatures();
	const release = Bun.spawnSync(["uname", "-r"]).stdout.toString();
	expect(release).toStartWith(`${kernelMajor}.${kernelMinor}.`);
});
