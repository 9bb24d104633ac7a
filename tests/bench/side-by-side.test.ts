import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { until } from "../netns/lab/commands.ts";
import type { Results } from "./report/results.ts";
import type { Trial } from "./trial.ts";

const MAIN = resolve(import.meta.dir, "main.ts");
const folder = mkdtempSync("/tmp/sluice-bench-test-");

afterAll(() => rmSync(folder, { recursive: true }));

/** Every process that came of this one, and the network namespaces that they are in. */
function descendants(pid: number): Map<number, number> {
	const found = new Map<number, number>();
	for (const thread of listing(`/proc/${pid}/task`)) {
		for (const child of read(`/proc/${pid}/task/${thread}/children`).trim().split(" ").filter(Boolean)) {
			const network = /\d+/.exec(link(`/proc/${child}/ns/net`))?.[0];
			found.set(Number(child), Number(network));
			for (const [one, its] of descendants(Number(child))) found.set(one, its);
		}
	}
	return found;
}

function orElse<T>(otherwise: T, ask: () => T): T {
	try {
		return ask();
	} catch {
		// It ended meanwhile.
		return otherwise;
	}
}

const listing = (path: string) => orElse<string[]>([], () => readdirSync(path));
const read = (path: string) => orElse("", () => readFileSync(path, "utf8"));
const link = (path: string) => orElse("", () => readlinkSync(path));

function bench(...words: string[]) {
	return Bun.spawn([process.execPath, MAIN, "--quick", ...words], { stdio: ["ignore", "pipe", "pipe"] });
}

/** What must be so however fast the machine is. */
function checkTrial(trial: Trial): void {
	expect(trial.sentPackets).toBeGreaterThan(0);
	expect(trial.expectedPackets).toBe(trial.sentPackets);
	expect(trial.receivedPackets).toBeGreaterThan(0);
	expect(trial.receivedPackets + trial.sinkDroppedPackets + trial.lostPackets).toBe(trial.expectedPackets);
	expect(trial.duplicatedPackets).toBe(0);
	expect(trial.corruptPackets).toBe(0);
	expect(trial.cpuNs).toBeLessThan(trial.wallNs * navigator.hardwareConcurrency);
	const { p50 = 0, p99 = 0, p999 = 0, max = 0 } = trial.latencyMicroseconds ?? {};
	expect([0, p50, p99, p999, max].toSorted((a, b) => a - b)).toEqual([0, p50, p99, p999, max]);
	expect(p50).toBeGreaterThan(0);
}

test("one case on real packets: every peer has the same load, and its figures agree with each other", async () => {
	const child = bench("--case", "latency", "--results", folder);
	const [said, wrong] = await Promise.all([child.stdout.text(), child.stderr.text()]);
	expect({ code: await child.exited, wrong }).toEqual({ code: 0, wrong: "" });
	expect(said).toContain("One-way latency\nOn the wire: one stream of 1400-byte payloads");

	const results = JSON.parse(readFileSync(`${folder}/results.json`, "utf8")) as Results;
	expect(results).toMatchObject({ version: 1, quick: true });
	expect(results.generator.burstsPps).toBeGreaterThan(0);
	expect(results.generator.singlesPps).toBeGreaterThan(0);
	expect(results.machine).toMatchObject({ kernel: expect.any(String), cpuModel: expect.any(String) });
	expect(results.peers.map(({ name }) => name)).toEqual(["sluice", "socat", "reference", "smcroute"]);
	expect(results.cases.map(({ name }) => name)).toEqual(["latency"]);
	const rows = results.cases[0]?.rows ?? [];
	expect(rows.map(({ variant, peer }) => `${variant} ${peer}`)).toEqual(
		["5 k/s", "50 k/s"].flatMap((variant) => results.peers.map(({ name }) => `${variant} ${name}`)),
	);
	for (const { peer, skipped, figures, samples } of rows) {
		const absent = results.peers.find(({ name }) => name === peer)?.absent ?? null;
		expect(skipped).toBe(absent);
		if (skipped !== null) continue;
		expect(samples).toHaveLength(1);
		const [trial] = samples as Trial[];
		if (trial === undefined) throw new Error("no trial");
		checkTrial(trial);
		// The kernel forwards for smcroute, in the generator's time.
		if (peer !== "smcroute") expect(trial.cpuNs).toBeGreaterThan(0);
		expect(figures["p99"]).toBe(trial.latencyMicroseconds?.p99);
	}
	for (const variant of ["5 k/s", "50 k/s"]) {
		const asked = rows
			.filter((row) => row.variant === variant && row.skipped === null)
			.map(({ samples }) => {
				const { ratePps, sizeBytes, burst, sentPackets } = samples[0] as Trial;
				return { ratePps, sizeBytes, burst, sentPackets };
			});
		expect(new Set(asked.map((one) => JSON.stringify(one))).size).toBe(1);
	}
	expect(results.verdicts.map(({ target }) => target)).toEqual(
		["5 k/s, p50", "5 k/s, p99", "50 k/s, p50", "50 k/s, p99"].map((what) => `latency at ${what}`),
	);
	for (const { figure, met } of results.verdicts) expect(met).toBe(figure === null ? null : figure <= 1);
	expect(said).toMatch(/^TARGET +WANTED +FOUND +VERDICT$/m);
	const svg = readFileSync(`${folder}/latency.svg`, "utf8");
	expect(svg).toStartWith("<svg ");
	expect(svg).toContain("reference");
}, 120_000);

test("interrupted it leaves nothing behind", async () => {
	const child = bench("--case", "latency", "--peer", "sluice", "--results", `${folder}/not-there/yet`);
	const own = link("/proc/self/ns/net");
	let family = new Map<number, number>();
	let said = "";
	for await (const bytes of child.stdout) {
		said += new TextDecoder().decode(bytes);
		if (family.size > 0 || !said.includes("latency, 5 k/s, sluice: ")) continue;
		family = descendants(child.pid);
		child.kill("SIGINT");
	}
	expect(await child.exited).toBe(130);
	expect(await child.stderr.text()).toBe("sluice: bench interrupted: all cleaned up\n");

	const networks = new Set([...family.values()].filter((network) => !own.includes(`${network}`)));
	expect(networks.size).toBeGreaterThan(0);
	const left = listing("/run/netns").filter((name) =>
		networks.has(orElse(0, () => statSync(`/run/netns/${name}`).ino)),
	);
	expect(left).toEqual([]);
	// Whoever lost its parent is there until somebody has waited for it.
	const ended = () => ![...family.keys()].some((pid) => existsSync(`/proc/${pid}`)) || undefined;
	await until("none of its processes is left", ended);
	expect(existsSync(`${folder}/not-there`)).toBe(false);
}, 120_000);

test("what is asked wrongly is one line, and a peer that does not work is a row that says so", async () => {
	const refused = bench("--peer", "command");
	expect(await refused.exited).toBe(1);
	expect(await refused.stderr.text()).toBe(
		"sluice: --peer command: choose of sluice, socat, reference, smcroute\n",
	);

	const template = "echo no such relay >&2; exit 1 # {group} {port} {to} {to-port}";
	const words = ["--case", "latency", "--peer", "command", "--peer-command", template, "--results", folder];
	const child = bench(...words);
	expect(await child.stdout.text()).toContain("skipped: it does not forward: no such relay");
	expect(await child.exited).toBe(0);
}, 120_000);
