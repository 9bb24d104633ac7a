import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
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
		await rm(dataDir.joined);
		await mkdir(dataDir.joined);
		await expect(refuseOwnCluster(dataDir)).rejects.toThrow(refused);
	} finally {
		await rm(dataDir.path, { recursive: true });
	}
});
