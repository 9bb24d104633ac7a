import { expect, test } from "bun:test";
import { join } from "node:path";

/** The text of a program that the keeper runs, with one descriptor kept by it; what that prints in its first run. */
async function kept(body: string): Promise<string> {
	const here = (file: string) => JSON.stringify(join(import.meta.dir, file));
	const script = `
		import { readdirSync, readlinkSync } from "node:fs";
		import { barrier, createMemory } from ${here("../../../dataplane-c/binding/descriptor-store.ts")};
		import { closeDescriptor } from ${here("../../../dataplane-c/binding/supervisor.ts")};
		import { standStill } from ${here("../../lib/testing/signals.ts")};
		import { KeptByKeeper } from ${here("keeping.ts")};
		const keeper = process.ppid;
		const memories = () => readdirSync("/proc/" + keeper + "/fd").filter((fd) => {
			try { return readlinkSync("/proc/" + keeper + "/fd/" + fd).startsWith("/memfd:"); } catch { return false; }
		}).length;
		/** Nothing more can be told. */
		const standStillFull = async () => {
			await standStill(keeper);
			for (let full = false; !full; ) {
				const asked = barrier().then(() => false, () => true);
				full = await Promise.race([asked, Bun.sleep(1).then(() => false)]);
			}
		};
		const complaints = [];
		const keeping = new KeptByKeeper({ warn: (text) => complaints.push(text) });
		const memory = createMemory();
		keeping.keep("memory", [memory]);
		closeDescriptor(memory);
		await barrier();
		const said = [memories(), keeping.isSettled];
		${body}
		console.log(JSON.stringify([...said, complaints.length]));`;
	const bun = [process.execPath, "--no-install", "-e", script];
	const keeper = Bun.spawn([join(import.meta.dir, "../../../build/sluice-keeper"), "--", ...bun], {
		stdio: ["pipe", "pipe", "inherit"],
	});
	let said = "";
	for await (const bytes of keeper.stdout) {
		said += new TextDecoder().decode(bytes);
		if (said.includes("\n")) keeper.kill("SIGTERM");
	}
	await keeper.exited;
	return said.split("\n")[0] ?? "";
}

test("it is settled when the keeper has closed what was released, and the loop goes on meanwhile", async () => {
	const said = await kept(`
		await standStill(keeper);
		keeping.release("memory");
		const settled = keeping.settled();
		// A pause that ends is a loop that runs.
		await Bun.sleep(1);
		said.push(memories(), keeping.isSettled);
		process.kill(keeper, "SIGCONT");
		await settled;
		said.push(memories(), keeping.isSettled);`);
	expect(JSON.parse(said)).toEqual([1, true, 1, false, 0, true, 0]);
}, 20_000);

test("what a keeper that did not read could not be told, it is told when it reads again", async () => {
	const said = await kept(`
		await standStillFull();
		keeping.release("memory");
		const settled = keeping.settled();
		said.push(memories(), keeping.isSettled);
		process.kill(keeper, "SIGCONT");
		await settled;
		said.push(memories(), keeping.isSettled);`);
	expect(JSON.parse(said)).toEqual([1, true, 1, false, 0, true, 1]);
}, 20_000);

test("a keeper that does not read stops the loop once, not for each message, and is told all when it reads", async () => {
	const said = await kept(`
		await standStillFull();
		const began = performance.now();
		keeping.release("memory");
		const firstMs = performance.now() - began;
		for (const name of ["drain/1", "drain/2", "drain/3", "drain/4"]) keeping.release(name);
		said.push(performance.now() - began < 2 * firstMs);
		process.kill(keeper, "SIGCONT");
		// Nobody asks.
		while (memories() > 0) await Bun.sleep(5);
		said.push(memories());`);
	expect(JSON.parse(said)).toEqual([1, true, true, 0, 1]);
}, 20_000);
