import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Certificates } from "@sluice/lib/testing/certificates";
import { readNatsTls } from "./nats-tls.ts";

let folder: string;
let made: Certificates;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-nats-tls-"));
	made = new Certificates(folder);
	await made.authority("ca");
	await made.authority("other");
	await made.server("right", "DNS:nats.example,IP:10.0.0.1", "ca");
	await made.server("address", "IP:10.0.0.1", "ca");
	await made.server("expired", "IP:10.0.0.1", "ca", -1);
	await made.server("nameless", "email:somebody@example.org", "ca");
	const chain = await Promise.all(["right.pem", "ca.pem"].map((file) => readFile(made.path(file), "utf8")));
	await writeFile(made.path("chain.pem"), chain.join(""));
	await copyFile(made.path("right.key"), made.path("chain.key"));
}, 30_000);
afterAll(() => rm(folder, { recursive: true }));

function read(certificate: string, ca?: string, key = certificate) {
	return readNatsTls({
		certificate: made.path(`${certificate}.pem`),
		key: made.path(`${key}.key`),
		ca: ca === undefined ? undefined : made.path(`${ca}.pem`),
	});
}

test("others know the server by who signed its certificate, and by the first name in it", async () => {
	const ca = await readFile(made.path("ca.pem"), "utf8");
	expect((await read("right", "ca")).trust).toEqual({ ca, serverName: "nats.example" });
	expect((await read("address", "ca")).trust).toEqual({ ca, serverName: "10.0.0.1" });
	// The whole chain in one file.
	expect((await read("chain")).trust.ca?.trim()).toBe(ca.trim());
});

test("files of which no server can be made that others believe are refused, each with what is expected", async () => {
	const path = (file: string) => made.path(file);
	for (const [tls, line] of [
		[() => read("missing"), `--nats-tls-cert ${path("missing.pem")} does not exist: name another file`],
		[
			() => read("right", "missing"),
			`--nats-tls-ca ${path("missing.pem")} does not exist: name another file`,
		],
		[
			() => read("right", "ca", "address"),
			`--nats-tls-key ${path("address.key")}: expected the key of the certificate in ${path("right.pem")}`,
		],
		[
			() => readNatsTls({ certificate: path("right.key"), key: path("right.key"), ca: undefined }),
			`--nats-tls-cert ${path("right.key")}: expected certificates in PEM`,
		],
		[
			() => readNatsTls({ certificate: path("right.pem"), key: path("right.pem"), ca: undefined }),
			`--nats-tls-key ${path("right.pem")}: expected a private key in PEM, without a password`,
		],
		[
			() => read("expired", "ca"),
			`--nats-tls-cert ${path("expired.pem")}: expected one that is valid: it has expired on `,
		],
		[
			() => read("nameless", "ca"),
			`--nats-tls-cert ${path("nameless.pem")}: expected a certificate with the address or the name of this server`,
		],
		[
			() => read("right"),
			"--nats-tls-ca is needed: the last certificate of --nats-tls-cert is signed by somebody else",
		],
		[
			() => read("right", "other"),
			`--nats-tls-ca ${path("other.pem")}: expected who signed the certificate in ${path("right.pem")}`,
		],
	] as const)
		await expect(tls()).rejects.toThrow(line);
});
