import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readHostCredentials } from "./host-credentials.ts";

test("a file of another kind is refused with what is needed, and with no secret of it", async () => {
	const folder = await mkdtemp(join(tmpdir(), "sluice-host-credentials-"));
	try {
		const path = join(folder, "operator.json");
		for (const text of ['{"kind":"nkey","name":"operator","seed":"SECRET"}', "SECRET"]) {
			await writeFile(path, text);
			const refusal = await readHostCredentials(path, "relay-b").catch((error: Error) => error.message);
			expect(refusal).toContain('needs a JSON file with kind "host", host "relay-b"');
			expect(refusal).not.toContain("SECRET");
			expect(refusal).not.toContain("sluice credentials");
		}
	} finally {
		await rm(folder, { recursive: true });
	}
});
