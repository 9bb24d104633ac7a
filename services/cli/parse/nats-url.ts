import { badValue } from "../failure.ts";

/** One server: host name, IPv4 or IPv6 in brackets; no user and no password, which come in a file. */
const SERVER =
	/^(?:(?:nats|tls):\/\/)?(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?\/?$/;

/**
 * One URL of NATS, or several with commas between.
 * @param source for the error: a flag or a variable.
 * @throws CommandFailure
 */
export function checkNatsUrl(source: string, text: string): string {
	const servers = text.split(",");
	const sound = (server: string) => {
		const [whole, port] = SERVER.exec(server) ?? [];
		return whole !== undefined && (port === undefined || (Number(port) >= 1 && Number(port) <= 65_535));
	};
	if (servers.every(sound)) return text;
	throw badValue(`${source} ${text}`, "nats://ADDR:PORT or tls://ADDR:PORT, or several with commas between");
}
