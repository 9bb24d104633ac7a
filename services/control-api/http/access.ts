import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { SluiceError } from "@sluice/lib/errors";

export interface AccessOptions {
	/** Where the server listens. */
	readonly address: string;
	readonly token: string;
	/** Further names that may stand in the Host header. */
	readonly hosts: readonly string[];
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1"]);
const ANY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** Decides who may ask what. */
export class Access {
	readonly #options: AccessOptions;
	readonly #tokenDigest: Buffer;

	constructor(options: AccessOptions) {
		this.#options = options;
		this.#tokenDigest = digest(options.token);
	}

	/**
	 * A page of a stranger may bind its own name to our address (DNS rebinding) and
	 * then read from here as if it were of the same origin; its Host header tells. Bun keeps
	 * what a target in absolute form names to itself. Nothing is served by that name either,
	 * and a browser, which sends such a target to a proxy only, repeats the name in Host.
	 */
	checkHost(request: Request): void {
		const name = hostName(request.headers.get("host") ?? "");
		if (LOOPBACK_NAMES.has(name) || name === this.#options.address || this.#options.hosts.includes(name))
			return;
		// Whoever listens on every address is reached by any of them; rebinding needs a name.
		if (ANY_ADDRESS.has(this.#options.address) && isIP(name) !== 0) return;
		throw new SluiceError(
			"forbidden",
			`Host ${JSON.stringify(name)} is not served here: use the address of the server`,
		);
	}

	/** Reading is free on the loopback; writing needs the token everywhere. */
	checkToken(request: Request, peer: string | undefined, writes: boolean): void {
		if (!writes && isLoopback(peer)) return;
		const [scheme = "", token = ""] = (request.headers.get("authorization") ?? "").split(" ");
		if (scheme.toLowerCase() === "bearer" && timingSafeEqual(digest(token), this.#tokenDigest)) return;
		const what = writes ? "writing" : "reading from another address";
		throw new SluiceError(
			"unauthenticated",
			`${what} needs the token: send "Authorization: Bearer" with the content of http-token in the data directory`,
		);
	}
}

function digest(text: string): Buffer {
	return createHash("sha256").update(text).digest();
}

/** "[::1]:7080" → "::1", "localhost:7080" → "localhost". */
function hostName(header: string): string {
	const bracketed = /^\[([^\]]*)\](?::[0-9]+)?$/.exec(header);
	if (bracketed !== null) return (bracketed[1] ?? "").toLowerCase();
	return header.replace(/:[0-9]+$/, "").toLowerCase();
}

function isLoopback(peer: string | undefined): boolean {
	if (peer === undefined) return false;
	const address = peer.startsWith("::ffff:") ? peer.slice("::ffff:".length) : peer;
	return address === "::1" || (isIP(address) === 4 && address.startsWith("127."));
}
