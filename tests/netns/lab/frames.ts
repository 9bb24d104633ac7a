/** Ethernet frames to the letter, right or wrong on purpose. All numbers are host order. */
export interface FrameOptions {
	source?: string;
	destination: string;
	sourcePort?: number;
	port: number;
	payload?: Uint8Array;
	/** IP options; the header's length follows. */
	ipOptions?: number[];
	/** Overrides, each making the frame wrong in one way. */
	version?: number;
	headerWords?: number;
	totalLength?: number;
	fragment?: number;
	protocol?: number;
	ipChecksum?: number;
	udpLength?: number;
	udpChecksum?: number;
	/** VLAN tags, outermost first, as [ethertype, vlan id]. */
	tags?: [number, number][];
	etherType?: number;
	/** Cuts the frame after so many bytes. */
	cut?: number;
}

const bytesOf = (address: string) => address.split(".").map(Number);

function checksum(bytes: Uint8Array): number {
	let sum = 0;
	for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
	while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
	return ~sum & 0xffff;
}

function word(value: number): number[] {
	return [(value >> 8) & 255, value & 255];
}

/** The frame in hexadecimal, as the inject tool reads it. */
export function frame(options: FrameOptions): string {
	const source = bytesOf(options.source ?? "10.1.0.2");
	const destination = bytesOf(options.destination);
	const payload = options.payload ?? new Uint8Array(64).fill(0x5a);
	const udpLength = options.udpLength ?? 8 + payload.length;
	const udp = [
		...word(options.sourcePort ?? 4000),
		...word(options.port),
		...word(udpLength),
		0,
		0,
		...payload,
	];
	const pseudo = [...source, ...destination, 0, 17, ...word(udp.length), ...udp];
	const udpSum = options.udpChecksum ?? (checksum(Uint8Array.from(pseudo)) || 0xffff);
	udp.splice(6, 2, ...word(udpSum));
	const ipOptions = [...(options.ipOptions ?? [])];
	while (ipOptions.length % 4 !== 0) ipOptions.push(0);
	const ip = [
		((options.version ?? 4) << 4) | (options.headerWords ?? 5 + ipOptions.length / 4),
		0,
		...word(options.totalLength ?? 20 + ipOptions.length + udp.length),
		...[0, 0],
		...word(options.fragment ?? 0),
		...[16, options.protocol ?? 17, 0, 0],
		...source,
		...destination,
		...ipOptions,
	];
	ip.splice(10, 2, ...word(options.ipChecksum ?? checksum(Uint8Array.from(ip))));
	const mac = [0x01, 0x00, 0x5e, (destination[1] ?? 0) & 127, destination[2] ?? 0, destination[3] ?? 0];
	const tags = (options.tags ?? []).flatMap(([type, vlan]) => [...word(type), ...word(vlan)]);
	const bytes = [...mac, 2, 0, 0, 0, 0, 2, ...tags, ...word(options.etherType ?? 0x0800), ...ip, ...udp];
	return Buffer.from(bytes.slice(0, options.cut)).toString("hex");
}
