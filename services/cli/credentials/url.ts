import { networkInterfaces } from "node:os";
import { formatListenAddress, type ListenAddress } from "../up/listen-address.ts";

/** Where others find a nats-server, or the URLs among which only a person can choose. */
export type ServerUrl = { readonly url: string } | { readonly candidates: readonly string[] };

/** @param own this host's addresses but the loopback's; matter only for a server that listens on all. Pure. */
export function urlForOthers(listen: ListenAddress, own: readonly string[]): ServerUrl {
	if (!/^0\.0\.0\.0$|^[0:]+$/.test(listen.address)) return { url: urlOf(listen) };
	if (own.length > 1) return { candidates: own.map((address) => urlOf({ address, port: listen.port })) };
	return { url: urlOf({ address: own[0] ?? "127.0.0.1", port: listen.port }) };
}

function urlOf(address: ListenAddress): string {
	return `nats://${formatListenAddress(address)}`;
}

/** IPv4, but the loopback's. */
export function ownAddresses(): string[] {
	const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
	return all.filter(({ family, internal }) => family === "IPv4" && !internal).map(({ address }) => address);
}

/** Such a URL means another server on each host. */
export function isLoopback(url: string): boolean {
	return /^(?:\w+:\/\/)?(?:127\.|localhost\b|\[::1\])/.test(url);
}
