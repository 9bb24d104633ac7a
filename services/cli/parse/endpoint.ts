import { badValue } from "../failure.ts";

/** `IFACE:ADDRESS:PORT` and the `name=value` options that follow it after commas. */
export interface Endpoint {
	interface: string;
	address: string;
	port: number;
	options: Map<string, string>;
}

const UINT32_MAX = 0xffff_ffff;

/**
 * Takes `text` apart; only what does not parse is refused here. Whether a port, a TTL
 * or a group is a good one is judged by control-api, for every way in alike.
 *
 * @param shape what was expected, for the complaint: "IFACE:GROUP:PORT".
 * @throws CommandFailure with exit code 1.
 */
export function parseEndpoint(flag: string, text: string, shape: string): Endpoint {
	const refuse = () => badValue(`${flag} ${text}`, `${shape}, IPv6 in brackets`);
	const [place = "", ...pairs] = text.split(",");
	const match = /^([^:\s/]+):(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]\s]+)):(\d+)$/.exec(place);
	if (!match) throw refuse();
	const [, interfaceName = "", bracketed, plain, portText = ""] = match;
	const port = parseUint32(`${flag} ${text}: port`, portText);
	return {
		interface: interfaceName,
		address: bracketed ?? plain ?? "",
		port,
		options: parsePairs(flag, text, pairs, shape),
	};
}

function parsePairs(flag: string, text: string, pairs: string[], shape: string): Map<string, string> {
	const options = new Map<string, string>();
	for (const pair of pairs) {
		const [name = "", value, ...rest] = pair.split("=");
		if (name === "" || value === undefined || value === "" || rest.length > 0) {
			throw badValue(`${flag} ${text}`, shape);
		}
		if (options.has(name)) throw badValue(`${flag} ${text}: ${name} is given twice`, shape);
		options.set(name, value);
	}
	return options;
}

/** A whole number that fits the field; its bounds are the server's to check. */
export function parseUint32(what: string, text: string): number {
	const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
	if (!(value <= UINT32_MAX)) throw badValue(`${what} ${text}`, "a whole number");
	return value;
}

/** The same endpoint as text; the inverse of parseEndpoint without its options. */
export function formatEndpoint(interfaceName: string, address: string, port: number | undefined): string {
	const host = address.includes(":") ? `[${address}]` : address;
	return `${interfaceName}:${host}:${port ?? "?"}`;
}
