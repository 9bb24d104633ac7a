import { type FrameOptions, frame } from "./frames.ts";

/** What the rule of the test matches. */
export const GOOD: FrameOptions = { destination: "239.1.1.1", port: 5001 };

export const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;
/** Up to the end of the IP header, where the destination stands. */
const IP_BYTES = 34;

/** A drop reason, "unmatched", "forwarded"; or "unseen": the filter lets it into no ring. */
export type Outcome = string;
export interface HostileClass {
	readonly what: string;
	/** What each frame must be counted as, and the frame in hexadecimal. */
	readonly frames: readonly (readonly [Outcome, string])[];
}

type Tags = [number, number][];
const TAGGED: Tags = [[0x8100, 7]];
const QINQ: Tags = [
	[0x88a8, 5],
	[0x8100, 7],
];

function all(outcome: Outcome, options: readonly Partial<FrameOptions>[]): [Outcome, string][] {
	return options.map((wrong) => [outcome, frame({ ...GOOD, ...wrong })]);
}

function range(first: number, end: number): number[] {
	return Array.from({ length: end - first }, (_, at) => first + at);
}

/**
 * Each shorter frame down to the Ethernet header: the kernel sends none that is shorter. Before
 * its destination is whole, a frame is none that the filter could know.
 */
function truncations(tags: Tags, outcome: Outcome): [Outcome, string][] {
	const whole = frame({ ...GOOD, tags }).length / 2;
	const seen = IP_BYTES + TAG_BYTES * tags.length;
	return range(ETHERNET_BYTES, whole).map((cut) => [
		cut < seen ? "unseen" : outcome,
		frame({ ...GOOD, tags, cut }),
	]);
}

/** The payload is 64 bytes long: 72 of UDP, 92 of IP. */
export const HOSTILE: readonly HostileClass[] = [
	{ what: "every truncation", frames: truncations([], "BAD_IP_HEADER") },
	{ what: "every truncation behind a VLAN tag", frames: truncations(TAGGED, "BAD_IP_HEADER") },
	{ what: "every truncation behind QinQ tags", frames: truncations(QINQ, "DOUBLE_TAGGED") },
	{
		what: "bad header lengths and versions",
		frames: [
			...all(
				"BAD_IP_HEADER",
				[...range(0, 4), ...range(5, 16)].map((version) => ({ version })),
			),
			...all(
				"BAD_IP_HEADER",
				range(0, 5).map((headerWords) => ({ headerWords })),
			),
			// The sum of what the longer header covers is another.
			...all(
				"BAD_IP_CHECKSUM",
				range(6, 16).map((headerWords) => ({ headerWords })),
			),
			...all(
				"SHORT_FRAME",
				range(6, 16).map((headerWords) => ({ headerWords, cut: IP_BYTES + 3 })),
			),
		],
	},
	{
		what: "lengths beyond the frame",
		frames: [
			...all(
				"BAD_IP_HEADER",
				[93, 1500, 65535].map((totalLength) => ({ totalLength })),
			),
			...all(
				"BAD_UDP_LENGTH",
				[73, 1480, 65535].map((udpLength) => ({ udpLength })),
			),
		],
	},
	{
		what: "lengths that leave no room",
		frames: [
			...all(
				"BAD_IP_HEADER",
				range(0, 20).map((totalLength) => ({ totalLength })),
			),
			...all(
				"BAD_UDP_LENGTH",
				range(20, 92).map((totalLength) => ({ totalLength })),
			),
			...all(
				"BAD_UDP_LENGTH",
				range(0, 8).map((udpLength) => ({ udpLength })),
			),
		],
	},
	{
		what: "fragments: the first, one in the middle, the last",
		frames: all(
			"FRAGMENT",
			[0x2000, 0x20b9, 0x3fff, 0x00b9, 0x0001].map((fragment) => ({ fragment })),
		),
	},
	{
		what: "a wrong IP checksum",
		frames: all("BAD_IP_CHECKSUM", [{ ipChecksum: 0 }, { ipChecksum: 0x1234 }]),
	},
	{
		what: "a wrong UDP checksum",
		frames: all("BAD_UDP_CHECKSUM", [{ udpChecksum: 1 }, { udpChecksum: 0x4321 }]),
	},
	{
		what: "IP options that do not fit, and source routes",
		frames: all(
			"BAD_IP_HEADER",
			[
				[148, 0, 0, 0],
				[148, 1, 0, 0],
				[148, 5, 0, 0],
				[1, 1, 1, 148],
				[1, 68, 255, 5],
				[131, 7, 4, 10, 1, 0, 1],
				[137, 7, 4, 10, 1, 0, 1],
			].map((ipOptions) => ({ ipOptions })),
		),
	},
	{
		what: "a VLAN that no rule names",
		frames: all(
			"unmatched",
			[0x8100, 0x88a8].map((type) => ({ tags: [[type, 7]] as Tags })),
		),
	},
	{
		what: "QinQ tags",
		frames: [
			...all("DOUBLE_TAGGED", [
				{ tags: QINQ },
				...[0x8100, 0x88a8].map((inner) => ({
					tags: [
						[0x8100, 5],
						[inner, 7],
					] as Tags,
				})),
				{ tags: [...QINQ, [0x8100, 9]] as Tags },
			]),
			...all("unseen", [{ tags: [...QINQ, ...QINQ] }]),
		],
	},
	{
		what: "other protocols of IP",
		// ICMP, IGMP, TCP, GRE, ESP, SCTP, UDP-Lite.
		frames: all(
			"NOT_UDP",
			[0, 1, 2, 6, 47, 50, 132, 136, 255].map((protocol) => ({ protocol })),
		),
	},
	{
		what: "ARP, IPv6 and others of Ethernet, tagged and not",
		// ARP, IPv6, 802.3's length, LLDP, PPPoE, MACsec; with the group where IPv4 would have it.
		frames: [0x0806, 0x86dd, 0x002e, 0x88cc, 0x8864, 0x88e5].flatMap((etherType) =>
			all("unseen", [{ etherType }, { etherType, tags: TAGGED }, { etherType, tags: QINQ }]),
		),
	},
	{
		what: "other groups, other ports",
		frames: [
			...all("unseen", [{ destination: "239.1.1.2" }, { destination: "239.129.1.1" }]),
			...all("unmatched", [{ port: 5002 }, { port: 0 }]),
		],
	},
];

/** Unusual, and right. */
export const VALID: HostileClass = {
	what: "options that fit, padding, a priority tag, no checksum, no payload",
	frames: [
		...all("forwarded", [
			{ ipOptions: [1, 1, 1] },
			{ ipOptions: [148, 4, 0, 0] },
			{ ipOptions: [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0] },
			{ ipOptions: [68, 8, 5, 0, 0, 0, 0, 0, 0, 99] },
			{ ipOptions: Array.from({ length: 40 }, () => 1) },
			{ tags: [[0x8100, 0]] },
			{ udpChecksum: 0 },
			{ payload: new Uint8Array(0) },
		]),
		["forwarded", `${frame({ ...GOOD, payload: new Uint8Array(5) })}${"ee".repeat(13)}`],
	],
};
