import type { networkInterfaces } from "node:os";
import { parseIpv4 } from "@sluice/lib/address";

/**
 * The broadcast address of each subnet, by interface: the kernel has a route to it, and sends nothing there for whoever
 * did not ask to broadcast (fib_add_ifaddr: from prefixes of 31 bits on there is none). Pure.
 */
export function broadcastsOf(interfaces: ReturnType<typeof networkInterfaces>): Map<string, number[]> {
	const found = new Map<string, number[]>();
	for (const [label, addresses] of Object.entries(interfaces)) {
		// An address may have a label of its own: eth0:1.
		const name = label.replace(/:.*/, "");
		for (const { cidr } of addresses ?? []) {
			const [text = "", length = ""] = cidr?.split("/") ?? [];
			const address = parseIpv4(text);
			if (address === undefined || Number(length) > 30) continue;
			const broadcast = (address | (0xffff_ffff >>> Number(length))) >>> 0;
			found.set(name, [...(found.get(name) ?? []), broadcast]);
		}
	}
	return found;
}
