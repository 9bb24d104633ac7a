import { expect, test } from "bun:test";
import type { NetworkInterfaceInfo } from "node:os";
import { broadcastsOf } from "./broadcasts.ts";

test("each subnet has one, but those of two addresses and of one; labels are the interface's", () => {
	const info = (cidr: string) =>
		({ cidr, family: cidr.includes(":") ? "IPv6" : "IPv4" }) as NetworkInterfaceInfo;
	const found = broadcastsOf({
		eth0: [
			info("10.0.0.1/24"),
			info("fe80::1/64"),
			info("10.5.0.1/30"),
			info("10.6.0.0/31"),
			info("10.7.0.1/32"),
		],
		"eth0:1": [info("172.16.0.1/12")],
		eth1: [info("223.255.255.1/1")],
	});
	expect([...found]).toEqual([
		["eth0", [0x0a00_00ff, 0x0a05_0003, 0xac1f_ffff]],
		["eth1", [0xffff_ffff]],
	]);
});
