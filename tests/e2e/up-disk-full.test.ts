import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { must, until } from "../netns/lab/commands.ts";
import { Namespace } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";

let namespace: Namespace;
let relay: Relay;

beforeAll(async () => {
	namespace = await Namespace.create("up");
	relay = new Relay(namespace);
	mkdirSync(relay.dataDir);
	await must(["mount", "-t", "tmpfs", "-o", "size=24m", "none", relay.dataDir]);
	await relay.up("--workers", "1");
	await relay.sluice("rule", "add", "video", "--in", "lo:239.1.1.1:5001", "--out", "lo:239.10.1.1:6001");
});

afterAll(async () => {
	await relay.down();
	await must(["umount", relay.dataDir]);
	await relay.remove();
	await namespace.remove();
});

const GONE_AFTER_MS = 4_000;

const add = (name: string, group: string) =>
	relay.cli("rule", "add", name, "--in", `lo:${group}:5001`, "--out", `lo:${group}:6001`);

test("a disk that fills up refuses new rules in one line, keeps those there are, and takes new ones when it has room", async () => {
	const filler = `${relay.dataDir}/filler`;
	const { bavail, bsize } = statfsSync(relay.dataDir);
	writeFileSync(filler, new Uint8Array(bavail * bsize));
	// Some fit into what the store has allocated.
	const accepted = ["video"];
	let refused = await add("late-0", "239.1.2.0");
	for (let k = 1; refused.code === 0 && k < 60; k += 1) {
		accepted.push(`late-${k - 1}`);
		refused = await add(`late-${k}`, `239.1.2.${k}`);
	}
	expect(refused).toEqual({
		code: 3,
		stdout: "",
		stderr: expect.stringMatching(/^sluice: the storage refuses writes .*: look at disk space .*\n$/),
	});
	// Longer than a host takes that says nothing to count as gone: this one still speaks.
	await Bun.sleep(GONE_AFTER_MS);
	const rules = await relay.rules();
	expect(rules.map(({ name }) => name)).toEqual(accepted.toSorted());
	expect(new Set(rules.map(({ hosts }) => hosts[0]?.state))).toEqual(new Set(["ACTIVE"]));
	rmSync(filler);
	await until("a rule is taken again", async () =>
		(await add("more", "239.1.1.3")).code === 0 ? true : undefined,
	);
	expect((await relay.rules()).map(({ name }) => name)).toEqual([...accepted, "more"].toSorted());
});
