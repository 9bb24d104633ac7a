/** What this host is: its kernel's features, its links and what drives them. Call it from the main thread. */
import * as check from "./check.ts";
import { FEATURES, LIMITS, LINK } from "./layout.ts";
import { succeed, supervisorSymbols } from "./library.ts";

export interface Features {
	readonly kernelMajor: number;
	readonly kernelMinor: number;
	readonly uniqueFanout: boolean;
	readonly udpSegment: boolean;
	readonly vnetUdp: boolean;
	readonly ebpfFilter: boolean;
}

/** Tries each kernel feature once. */
export function probeFeatures(): Features {
	const bytes = new Uint8Array(FEATURES.size);
	succeed(supervisorSymbols().sluice_probe(bytes), "probe kernel features");
	const view = new DataView(bytes.buffer);
	return {
		kernelMajor: view.getUint32(FEATURES.kernelMajor, true),
		kernelMinor: view.getUint32(FEATURES.kernelMinor, true),
		uniqueFanout: view.getUint8(FEATURES.uniqueFanout) !== 0,
		udpSegment: view.getUint8(FEATURES.udpSegment) !== 0,
		vnetUdp: view.getUint8(FEATURES.vnetUdp) !== 0,
		ebpfFilter: view.getUint8(FEATURES.ebpfFilter) !== 0,
	};
}

export interface Link {
	readonly name: string;
	readonly ifindex: number;
	readonly mtu: number;
	/** Administratively up. */
	readonly up: boolean;
	/** With carrier. */
	readonly running: boolean;
	/** How often carrier came, also between two readings. */
	readonly carrierUps: number;
	readonly loopback: boolean;
	/** "02:00:00:00:00:01"; all zeros when it has none. */
	readonly mac: string;
	/** IPv4, primary ones first. */
	readonly addresses: readonly number[];
}

const LINK_UP = 1;
const LINK_RUNNING = 2;
const LINK_LOOPBACK = 4;

function decodeLink(bytes: Uint8Array): Link {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const name = bytes.subarray(LINK.name, LINK.name + LIMITS.interfaceNameBytes);
	const flags = view.getUint32(LINK.flags, true);
	const addressCount = view.getUint16(LINK.addressCount, true);
	return {
		name: Buffer.from(name.subarray(0, name.indexOf(0))).toString(),
		ifindex: view.getUint32(LINK.ifindex, true),
		mtu: view.getUint32(LINK.mtu, true),
		up: (flags & LINK_UP) !== 0,
		running: (flags & LINK_RUNNING) !== 0,
		carrierUps: view.getUint32(LINK.carrierUps, true),
		loopback: (flags & LINK_LOOPBACK) !== 0,
		mac: Array.from(bytes.subarray(LINK.mac, LINK.mac + 6), (byte) =>
			byte.toString(16).padStart(2, "0"),
		).join(":"),
		addresses: Array.from({ length: addressCount }, (_, index) =>
			view.getUint32(LINK.addressBe + 4 * index, false),
		),
	};
}

let linkBuffer = new Uint8Array(LINK.size * 64);

/** Every link of this network namespace with its IPv4 addresses. */
export function readLinks(): Link[] {
	for (;;) {
		const capacity = linkBuffer.length / LINK.size;
		const found = succeed(supervisorSymbols().sluice_links(linkBuffer, capacity), "read links");
		if (found <= capacity) {
			return Array.from({ length: found }, (_, index) =>
				decodeLink(linkBuffer.subarray(index * LINK.size, (index + 1) * LINK.size)),
			);
		}
		linkBuffer = new Uint8Array(LINK.size * found * 2);
	}
}

const DRIVER_NAME_BYTES = 32;

/** What drives a link, as ethtool says; empty when nothing does, or the link is gone. */
export function linkDriver(name: string): string {
	const driver = new Uint8Array(DRIVER_NAME_BYTES);
	const named = check.cString(name, "name", LIMITS.interfaceNameBytes);
	if (supervisorSymbols().sluice_link_driver(named, driver) < 0) return "";
	return Buffer.from(driver.subarray(0, driver.indexOf(0))).toString();
}
