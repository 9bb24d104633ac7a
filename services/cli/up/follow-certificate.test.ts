import { expect, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Certificates } from "@sluice/lib/testing/certificates";
import { until } from "@sluice/lib/testing/until";
import { DataDir } from "./data-dir.ts";
import { followCertificate } from "./follow-certificate.ts";
import { tlsFiles } from "./nats-conf.ts";
import { readNatsTls } from "./nats-tls.ts";

test.skipIf(process.getuid?.() !== 0)(
	"a renewed certificate that could not be written is tried again, though nothing else changes",
	async () => {
		const folder = await mkdtemp(join(tmpdir(), "sluice-certificate-"));
		const made = new Certificates(folder);
		await made.authority("ca");
		for (const name of ["nats", "next"]) await made.server(name, "DNS:nats.example", "ca");
		const files = { certificate: made.path("nats.pem"), key: made.path("nats.key"), ca: made.path("ca.pem") };
		const said: string[] = [];
		const say = (text: string) => void said.push(text);
		const server = { ready: Promise.resolve(), signal: say };
		const dataDir = new DataDir(join(folder, "data"));
		const shown = await readNatsTls(files);
		// One file changes while it is looked at, and so it is looked at once.
		await copyFile(made.path("next.key"), files.key);
		const stop = followCertificate(files, shown, server, dataDir, 0, { info: say, warn: say });
		try {
			await copyFile(made.path("next.pem"), files.certificate);
			// There is no folder for it.
			await until(() => said.length > 0);
			expect(said).toEqual([expect.stringMatching(/stays as it was: data directory .*ENOENT/)]);
			await mkdir(dataDir.nats, { recursive: true });
			await until(() => said.includes("SIGHUP"));
			expect(said.slice(1)).toEqual(["SIGHUP", "certificate changed: nats-server shows the new one"]);
			expect(await readFile(join(dataDir.nats, tlsFiles.key), "utf8")).toBe(
				await readFile(made.path("next.key"), "utf8"),
			);
		} finally {
			stop();
			await rm(folder, { recursive: true });
		}
	},
	30_000,
);
