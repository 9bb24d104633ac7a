import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { ConnectionOptions } from "@nats-io/transport-node";
import type { ServerTrust } from "./config.ts";
import { errorText, SluiceError } from "./errors.ts";

/**
 * Whoever was told by what to know the server, or to speak TLS, speaks nothing else. A server that wants TLS of whoever was
 * told nothing is verified by the authorities that this host trusts.
 */
export function tlsOptions(
	url: string,
	{ ca, serverName }: ServerTrust = {},
): Pick<ConnectionOptions, "tls"> | undefined {
	if (ca === undefined && serverName === undefined && !url.startsWith("tls://")) return undefined;
	// The library passes on what it does not know itself. A name of our own is no matter of how TLS begins (SNI, which
	// takes no addresses), but of who is accepted.
	const identity = (_: string, certificate: PeerCertificate) =>
		checkServerIdentity(serverName ?? "", certificate);
	return {
		tls: {
			...(ca === undefined ? {} : { ca }),
			...(serverName === undefined ? {} : { checkServerIdentity: identity }),
		},
	};
}

interface Whose {
	readonly url: string;
	/** The host that joined with the credentials, if one did. */
	readonly host?: string | undefined;
}

/** What mends credentials that no longer fit their cluster. */
function anew(host: string): string {
	return `make this host's file anew on the cluster's first host with sluice credentials host ${host}, bring it here, and start sluice up with it`;
}

/** The server is there, and does not let these credentials in. */
export function refusal({ url, host }: Whose): string {
	if (host === undefined) return `NATS at ${url} refuses these credentials: use those of this cluster`;
	return `NATS at ${url} refuses the credentials of this host: ${anew(host)}`;
}

/** Why the server was not believed, and what to do; undefined: that is not what failed. */
export function untrusted({ url, host }: Whose, thrown: unknown): SluiceError | undefined {
	const why = reasonOf(codeOf(thrown), errorText(thrown), host === undefined ? undefined : anew(host));
	if (why === undefined) return undefined;
	return new SluiceError("forbidden", `NATS at ${url} is not trusted: ${why}`, { cause: thrown });
}

function reasonOf(code: string, text: string, remedy: string | undefined): string | undefined {
	if (code === "CERT_HAS_EXPIRED")
		return "its certificate has expired: renew it there, or set the clock here";
	if (code === "CERT_NOT_YET_VALID") return "its certificate is not valid yet: set the clock here, or there";
	if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
		return `its certificate has another name: ${remedy ?? "use the URL or the credentials of that server"}`;
	if (/^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_)/.test(code))
		return `its certificate is signed by nobody known: ${remedy ?? "use credentials that its sluice up made, which carry its CA"}`;
	if (text.includes("does not support 'tls'"))
		return `it does not speak TLS: start it with its certificate, or ${remedy ?? "make these credentials anew there"}`;
	return undefined;
}

function codeOf(thrown: unknown): string {
	for (let error = thrown; error instanceof Error; error = error.cause)
		if ("code" in error && typeof error.code === "string") return error.code;
	return "";
}
