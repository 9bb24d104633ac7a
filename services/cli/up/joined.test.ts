import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataDir } from "./data-dir.ts";
import { refuseOwnCluster } from "./joined.ts";

test("what says that a directory has joined says so when it is damaged, too", async () => {
	const dataDir = new DataDir(await mkdtemp(join(tmpdir(), "sluice-joined-")));
	try {
		await refuseOwnCluster(dataDir);
		await mkdir(dataDir.credentialsFolder);
		await refuseOwnCluster(dataDir);
		const refused =
			/ has joined another cluster: add --credentials FILE to join it again, or remove .*joined\.json to start/;
		await writeFile(dataDir.joined, "");
		await expect(refuseOwnCluster(dataDir)).rejects.toThrow(refused);
		for (const put of [
			() => mkdir(dataDir.joined),
			() => symlink("nowhere", dataDir.joined),
			() => Bun.$`mkfifo ${dataDir.joined}`,
			() => writeFile(dataDir.joined, "null"),
		]) {
			await rm(dataDir.joined, { recursive: true });
			await put();
			await expect(refuseOwnCluster(dataDir)).rejects.toThrow(refused);
		}
	} finally {
		await rm(dataDir.path, { recursive: true });
	}
});
