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

const add = (name: string, group: string) =>
	relay.cli("rule", "add", name, "--in", `lo:${group}:5001`, "--out", `lo:${group}:6001`);

const names = async () => (await relay.rules()).map(({ name }) => name);

/** @returns the rules that were taken all the same: some fit into what the store has allocated. */
async function addUntilRefused(round: number): Promise<string[]> {
	for (let k = 0; k < 60; k += 1) {
		const added = await add(`late-${round}-${k}`, `239.1.${round}.${k}`);
		if (added.code === 0) continue;
		expect(added).toEqual({
			code: 3,
			stdout: "",
			stderr: expect.stringMatching(/^sluice: the storage refuses writes .*: look at disk space .*\n$/),
		});
		return Array.from({ length: k }, (_, taken) => `late-${round}-${taken}`);
	}
	throw new Error("60 rules were taken on a full disk");
}

/** Waits until the host has been heard twice more. */
async function stillSpeaks(): Promise<void> {
	let heard = 0;
	let before = 0;
	await until("the host is heard", async () => {
		const { hosts } = JSON.parse(await relay.sluice("host", "list", "--json")) as {
			hosts: { lastSeenSeconds: number }[];
		};
		const now = hosts[0]?.lastSeenSeconds ?? Number.POSITIVE_INFINITY;
		if (now < before) heard += 1;
		before = now;
		return heard >= 2 || undefined;
	});
}

/** What gen sends goes on until it is told to end; answers how much it was. */
function sendOn(): { end(): Promise<number> } {
	const to = ["--to", "lo:239.1.1.1:5001", "--rate", "200", "--size", "100", "--count", "0"];
	const child = namespace.start([...relay.command, "gen", ...to, "--json"]);
	return {
		async end() {
			child.kill("SIGTERM");
			return Number(JSON.parse(await child.stdout.text()).sentPackets);
		},
	};
}

test("a disk that fills up refuses new rules in one line, keeps those there are, and takes new ones when it has room", async () => {
	const filler = `${relay.dataDir}/filler`;
	const fill = () => {
		const { bavail, bsize } = statfsSync(relay.dataDir);
		writeFileSync(filler, new Uint8Array(bavail * bsize));
	};
	const sender = sendOn();
	const accepted = ["video"];
	for (const round of [2, 3]) {
		fill();
		accepted.push(...(await addUntilRefused(round)));
		if (round === 2) await stillSpeaks();
		const rules = await relay.rules();
		expect(rules.map(({ name }) => name)).toEqual(accepted.toSorted());
		expect(new Set(rules.map(({ hosts }) => hosts[0]?.state))).toEqual(new Set(["ACTIVE"]));
		rmSync(filler);
		accepted.push(`more-${round}`);
		await until("a rule is taken again", async () => {
			const { code, stderr } = await add(`more-${round}`, `239.1.1.${round}`);
			// A nats-server that is started anew forgets whom to answer.
			return code === 0 || stderr.includes(`rule more-${round} exists`) ? true : undefined;
		});
		expect(await names()).toEqual(accepted.toSorted());
	}
	const sent = await sender.end();
	const [video] = (await relay.figuresAfter(sent)).rules.filter(({ name }) => name === "video");
	expect(video).toMatchObject({ receivedPackets: sent, forwardedPackets: sent });
	// Of those that need it (ADR 0123), each time; the others go on by themselves.
	const restarts = relay.log.match(/can be written again: nats-server is started anew/g) ?? [];
	expect(restarts).toHaveLength(relay.log.match(/nats-server could not write: /g)?.length ?? 0);
});
