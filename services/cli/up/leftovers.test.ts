import { expect, test } from "bun:test";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@sluice/lib/testing/until";
import { hasOpen } from "./leftovers.ts";

test("a process that has the file open is seen to have it, whatever else it opens and closes", async () => {
	const folder = await realpath(await mkdtemp(join(tmpdir(), "sluice-leftovers-")));
	const path = join(folder, "lock");
	await writeFile(path, "");
	const busy = `exec 200<"${path}"; while :; do exec 5</dev/null 6</dev/null 7</dev/null; exec 5<&- 6<&- 7<&-; done`;
	const holder = Bun.spawn(["bash", "-c", busy], { stdio: ["ignore", "ignore", "ignore"] });
	try {
		await until(() => hasOpen(holder.pid, path));
		const looks = Array.from({ length: 2_000 }, () => hasOpen(holder.pid, path));
		expect(looks.filter((has) => !has)).toHaveLength(0);
	} finally {
		holder.kill("SIGKILL");
		await holder.exited;
	}
	expect(hasOpen(holder.pid, path)).toBe(false);
	await rm(folder, { recursive: true });
});
