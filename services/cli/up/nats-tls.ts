import { createPrivateKey, X509Certificate } from "node:crypto";
import { readBoundedFile } from "@sluice/lib/bounded-text";
import type { ServerTrust } from "@sluice/lib/config";
import { remedyOf } from "../credentials/exposure.ts";
import { badValue, CommandFailure, exitCodes, whyUnread } from "../failure.ts";

/** What the command line names. */
export interface NatsTlsFiles {
	readonly certificate: string;
	readonly key: string;
	/** Absent: the certificate's own file ends with who signed it. */
	readonly ca: string | undefined;
}

/** What nats-server shows, and by what others know it. */
export interface NatsTls {
	/** PEM, and those between it and the authority. */
	readonly certificate: string;
	/** PEM. */
	readonly key: string;
	readonly trust: Required<ServerTrust>;
}

const FILE_LIMIT_BYTES = 256 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws CommandFailure for files of which no server can be made that others believe. */
export async function readNatsTls(files: NatsTlsFiles): Promise<NatsTls> {
	const certificate = await read("--nats-tls-cert", files.certificate);
	const chain = certificates("--nats-tls-cert", files.certificate, certificate);
	const [own] = chain;
	const key = await read("--nats-tls-key", files.key);
	if (!own.checkPrivateKey(privateKey(files.key, key)))
		throw badValue(`--nats-tls-key ${files.key}`, `the key of the certificate in ${files.certificate}`);
	checkDates(files.certificate, own);
	const serverName = firstName(own);
	if (serverName === undefined)
		throw badValue(
			`--nats-tls-cert ${files.certificate}`,
			"a certificate with the address or the name of this server (subjectAltName)",
		);
	return { certificate, key, trust: { ca: await authority(files, chain), serverName } };
}

/** Who signed it: what is given, or the last of the chain. */
async function authority(files: NatsTlsFiles, chain: readonly X509Certificate[]): Promise<string> {
	const given = files.ca === undefined ? undefined : await read("--nats-tls-ca", files.ca);
	const authorities =
		files.ca === undefined || given === undefined ? [] : certificates("--nats-tls-ca", files.ca, given);
	const last = chain.at(-1);
	if (last === undefined) throw new Error("a chain has a certificate");
	if (given === undefined) {
		if (signed(last, last)) return last.toString();
		const missing = "is needed: the last certificate of --nats-tls-cert is signed by somebody else";
		throw new CommandFailure(exitCodes.failed, `--nats-tls-ca ${missing}`);
	}
	if (!authorities.some((each) => signed(last, each)))
		throw badValue(`--nats-tls-ca ${files.ca}`, `who signed the certificate in ${files.certificate}`);
	return given;
}

function signed(certificate: X509Certificate, by: X509Certificate): boolean {
	return certificate.checkIssued(by) && certificate.verify(by.publicKey);
}

function checkDates(path: string, { validFrom, validTo }: X509Certificate): void {
	const now = Date.now();
	if (Date.parse(validTo) < now)
		throw badValue(`--nats-tls-cert ${path}`, `one that is valid: it has expired on ${validTo}`);
	if (Date.parse(validFrom) > now)
		throw badValue(`--nats-tls-cert ${path}`, `one that is valid: it will be from ${validFrom} on`);
}

/** "DNS:nats.example, IP Address:10.0.0.1" */
function firstName({ subjectAltName = "" }: X509Certificate): string | undefined {
	return /(?:DNS|IP Address):([^,\s*]+)/.exec(subjectAltName)?.[1];
}

function certificates(flag: string, path: string, text: string): [X509Certificate, ...X509Certificate[]] {
	try {
		const [first, ...others] = (text.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
		if (first !== undefined) return [first, ...others];
	} catch (cause) {
		throw badValue(`${flag} ${path}`, "certificates in PEM", { cause });
	}
	throw badValue(`${flag} ${path}`, "certificates in PEM");
}

function privateKey(path: string, text: string) {
	try {
		return createPrivateKey(text);
	} catch (cause) {
		throw badValue(`--nats-tls-key ${path}`, "a private key in PEM, without a password", { cause });
	}
}

async function read(flag: string, path: string): Promise<string> {
	try {
		return await readBoundedFile(path, FILE_LIMIT_BYTES);
	} catch (cause) {
		throw new CommandFailure(exitCodes.failed, `${flag} ${path} ${whyUnread(cause)}: ${remedyOf(cause)}`, {
			cause,
		});
	}
}
