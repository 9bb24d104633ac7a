import { describe, expect, test } from "bun:test";
import { chmod, chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readHostCredentials, withHostFile } from "./host-credentials.ts";

const seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const url = "nats://10.0.0.1:4222";
const host = { kind: "host", host: "relay-b", url, supervisor: { seed }, worker: { seed }, reader: { seed } };
const made = "that sluice credentials host relay-b made";

const wrong: [what: string, file: unknown, line: string][] = [
	["no JSON", `{"seed":"${seed}"`, `are not JSON: copy the file again ${made}`],
	[
		"the operator's",
		{ kind: "nkey", name: "operator", seed, url },
		`are the operator's, not a host's: --credentials needs the file ${made}, no other`,
	],
	[
		"an orchestrator's",
		{ kind: "nkey", name: "orchestrator-robot", seed, url },
		`are an orchestrator's, not a host's: --credentials needs the file ${made}, no other`,
	],
	["anything else", [seed], `are not those of a host: --credentials needs the file ${made}, no other`],
	[
		"a host's without its reader",
		{ ...host, reader: undefined },
		`: reader: is missing: copy the file again ${made}`,
	],
	["a host's without its URL", { ...host, url: undefined }, `: url: is missing: copy the file again ${made}`],
	[
		"a host's with a cut seed",
		{ ...host, worker: { seed: seed.slice(0, 9) } },
		`: worker.seed: is not an nkey user seed: copy the file again ${made}`,
	],
	[
		"a host's with a seed that was changed",
		{ ...host, worker: { seed: seed.replace("SUACSS", "SUACST") } },
		`: worker.seed: is no nkey user seed that anybody made: copy the file again ${made}`,
	],
	[
		"another host's",
		{ ...host, host: "relay-c" },
		"are for host relay-c and this is relay-b: use --host-id relay-c, ",
	],
];

/** The line with which a file is refused. */
async function refusal(file: string, mode = 0o600, uid = 0): Promise<string> {
	const folder = await mkdtemp(join(tmpdir(), "sluice-host-credentials-"));
	try {
		const path = join(folder, "file.json");
		await writeFile(path, file);
		await chmod(path, mode);
		if (uid !== 0) await chown(path, uid, 0);
		return await readHostCredentials(path, "relay-b").then(
			() => "",
			(error: Error) => error.message.replace(`credentials ${path}`, ""),
		);
	} finally {
		await rm(folder, { recursive: true });
	}
}

describe("up says what is wrong with its file, and nothing that is secret:", () => {
	test.each(wrong)("%s", async (_, file, line) => {
		const said = await refusal(typeof file === "string" ? file : JSON.stringify(file));
		expect(said.trimStart()).toStartWith(line);
		expect(said).not.toContain(seed.slice(0, 9));
	});

	test("others may read or change it, or it is somebody else's", async () => {
		const text = JSON.stringify(host);
		expect(await refusal(text, 0o640)).toBe("");
		expect(await refusal(text, 0o644)).toBe(" may be read by others: chmod 600");
		expect(await refusal(text, 0o660)).toBe(" may be changed by others: chmod 600");
		const stranger = 54_321;
		if (process.getuid?.() === 0)
			expect(await refusal(text, 0o600, stranger)).toStartWith(` belong to user ${stranger}, `);
	});
});

test("a host's file alone says where to join and as whom; what is given wins; another file in the environment changes nothing", async () => {
	const folder = await mkdtemp(join(tmpdir(), "sluice-host-credentials-"));
	try {
		const dataDir = folder;
		const credentialsFile = join(folder, "file.json");
		const given = { dataDir, credentialsFile };
		expect(await withHostFile({ dataDir }, true)).toEqual({ dataDir });
		expect(await withHostFile(given, false)).toEqual(given);
		await expect(withHostFile(given, true)).rejects.toThrow(
			/^credentials file .*file\.json does not exist: name another file$/,
		);
		await writeFile(credentialsFile, '{"kind":"nkey","name":"operator"}');
		expect(await withHostFile(given, false)).toEqual(given);
		await expect(withHostFile(given, true)).rejects.toThrow(/the operator's, .* credentials host ID made/);
		await writeFile(credentialsFile, JSON.stringify({ ...host, worker: undefined }));
		for (const required of [true, false])
			await expect(withHostFile(given, required)).rejects.toThrow(/: worker: is missing: /);
		await writeFile(credentialsFile, JSON.stringify(host));
		expect(await withHostFile(given, true)).toEqual({
			...given,
			hostId: "relay-b",
			natsUrl: url,
			urlOfFile: true,
		});
		const own = { ...given, hostId: "relay-c", natsUrl: "nats://10.0.0.2:4222" };
		expect(await withHostFile(own, true)).toEqual(own);
	} finally {
		await rm(folder, { recursive: true });
	}
});
