import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readHostCredentials, withHostFile } from "./host-credentials.ts";

test("a file of another kind is refused with what is needed, and with no secret of it", async () => {
	const folder = await mkdtemp(join(tmpdir(), "sluice-host-credentials-"));
	try {
		const path = join(folder, "operator.json");
		for (const text of ['{"kind":"nkey","name":"operator","seed":"SECRET"}', "SECRET"]) {
			await writeFile(path, text);
			const refusal = await readHostCredentials(path, "relay-b").catch((error: Error) => error.message);
			expect(refusal).toContain("needs the file that sluice credentials host relay-b made");
			expect(refusal).not.toContain("SECRET");
		}
	} finally {
		await rm(folder, { recursive: true });
	}
});

test("a host's file alone says where to join and as whom; what is given wins; another file in the environment changes nothing", async () => {
	const folder = await mkdtemp(join(tmpdir(), "sluice-host-credentials-"));
	try {
		const dataDir = folder;
		const credentialsFile = join(folder, "file.json");
		const given = { dataDir, credentialsFile };
		expect(await withHostFile({ dataDir }, true)).toEqual({ dataDir });
		expect(await withHostFile(given, false)).toEqual(given);
		expect(withHostFile(given, true)).rejects.toThrow(/file\.json cannot be read \(ENOENT\)/);
		await writeFile(credentialsFile, '{"kind":"nkey","name":"operator"}');
		expect(await withHostFile(given, false)).toEqual(given);
		expect(withHostFile(given, true)).rejects.toThrow(/not those of a host: .* credentials host ID made/);
		const seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
		const file = { kind: "host", host: "relay-b", url: "nats://10.0.0.1:4222" };
		await writeFile(
			credentialsFile,
			JSON.stringify({ ...file, supervisor: { seed }, worker: { seed }, reader: { seed } }),
		);
		expect(await withHostFile(given, true)).toEqual({
			...given,
			hostId: "relay-b",
			natsUrl: "nats://10.0.0.1:4222",
			urlOfFile: true,
		});
		const own = { ...given, hostId: "relay-c", natsUrl: "nats://10.0.0.2:4222" };
		expect(await withHostFile(own, true)).toEqual(own);
	} finally {
		await rm(folder, { recursive: true });
	}
});
