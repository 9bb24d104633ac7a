import { badValue } from "../failure.ts";

export interface ListenAddress {
	/** Without brackets. */
	readonly address: string;
	readonly port: number;
}

const FORM = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/;

/**
 * Reads "127.0.0.1:7080" or "[::1]:7080".
 * @param flag for the error, e.g. "--http".
 * @param usual what holds when nothing is given, and what the error shows.
 */
export function parseListenAddress(flag: string, given: string | undefined, usual: string): ListenAddress {
	const text = given ?? usual;
	const [, six, four, digits] = FORM.exec(text) ?? [];
	const port = Number(digits);
	const address = six ?? four;
	if (address === undefined || !(port >= 1 && port <= 65_535) || (four !== undefined && !isIpv4(four))) {
		throw badValue(
			`${flag} ${text}`,
			`ADDR:PORT, for instance ${usual} or [::1]${usual.slice(usual.lastIndexOf(":"))}`,
		);
	}
	return { address, port };
}

export function formatListenAddress({ address, port }: ListenAddress): string {
	return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Where to connect on this host to something that listens there: a wildcard is no destination. */
export function reachableOnThisHost({ address, port }: ListenAddress): ListenAddress {
	if (address === "0.0.0.0") return { address: "127.0.0.1", port };
	return /^[0:]+$/.test(address) ? { address: "::1", port } : { address, port };
}

/** Only one can listen on both: a wildcard takes the port of every address, :: also of IPv4. */
export function overlap(a: ListenAddress, b: ListenAddress): boolean {
	if (a.port !== b.port) return false;
	return a.address === b.address || [a.address, b.address].some((each) => /^0\.0\.0\.0$|^[0:]+$/.test(each));
}

function isIpv4(text: string): boolean {
	const parts = text.split(".");
	return parts.length === 4 && parts.every((part) => part !== "" && Number(part) <= 255);
}
