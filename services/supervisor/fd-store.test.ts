import { expect, test } from "bun:test";
import { join } from "node:path";
import { forget, store, takeStored } from "./fd-store.ts";

test("without a keeper nothing is stored, and nobody stored anything", () => {
	delete process.env["NOTIFY_SOCKET"];
	expect(store("counters", [3])).toBeFalse();
	expect(forget("counters")).toBeFalse();
	expect(takeStored()).toEqual([]);
});

test("a name that would not come back as it was is refused", () => {
	for (const name of ["", "a:b", "a b", "a\nFDSTOREREMOVE=1", "\u00e9", "x".repeat(256)]) {
		expect(() => store(name, [3])).toThrow("cannot name a descriptor");
	}
});

test("what is stored comes back after SIGKILL, in order, and what is forgotten does not", async () => {
	const script = `
		import { createShardState } from ${JSON.stringify(join(import.meta.dir, "../../dataplane-c/binding/supervisor.ts"))};
		import { forget, store, takeStored } from ${JSON.stringify(join(import.meta.dir, "fd-store.ts"))};
		const stored = takeStored();
		console.log(stored.map(({ name, fd }) => name + fd).join(" "));
		if (stored.length === 0) {
			store("shard-r0", [createShardState(), createShardState()]);
			store("old", [createShardState()]);
			store("counters", [createShardState()]);
			forget("old");
			process.kill(process.pid, "SIGKILL");
		}`;
	const bun = [process.execPath, "--no-install", "-e", script];
	const keeper = Bun.spawn([join(import.meta.dir, "../../build/sluice-keeper"), "--", ...bun], {
		stdio: ["pipe", "pipe", "ignore"],
	});
	let said = "";
	for await (const bytes of keeper.stdout) {
		said += new TextDecoder().decode(bytes);
		if (said.split("\n").length > 2) keeper.kill("SIGTERM");
	}
	expect(await keeper.exited).toBe(0);
	expect(said.split("\n").slice(0, 2)).toEqual(["", "shard-r03 shard-r04 counters5"]);
});
