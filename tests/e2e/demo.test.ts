import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const cli = resolve(import.meta.dir, "../../services/cli/main.ts");

let folder: string;
let namespacesBefore: string[];

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-demo-test-"));
	namespacesBefore = demoNamespaces();
});
afterEach(async () => {
	await rm(folder, { recursive: true });
});

function start(...args: string[]) {
	return Bun.spawn([process.execPath, cli, "demo", ...args], {
		// Its data directory is made in here, which also marks its processes' command lines.
		env: { ...process.env, TMPDIR: folder },
		stdio: ["ignore", "pipe", "pipe"],
	});
}

function demoNamespaces(): string[] {
	const list = Bun.spawnSync(["ip", "netns", "list"]).stdout.toString();
	return list.match(/slc-[0-9a-f]{6}-(src|relay|studio|office)\b/g) ?? [];
}

async function processesOfTheDemo(): Promise<string[]> {
	const found: string[] = [];
	for (const pid of await readdir("/proc")) {
		if (!/^\d+$/.test(pid)) continue;
		// A process may end between the listing and the reading.
		const argv = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
		if (argv.includes(folder)) found.push(argv.replaceAll("\0", " "));
	}
	return found;
}

async function expectNothingLeft(): Promise<void> {
	expect(demoNamespaces()).toEqual(namespacesBefore);
	expect(await processesOfTheDemo()).toEqual([]);
	expect(await readdir(folder)).toEqual([]);
}

test("the demo ends with every figure right, and leaves nothing", async () => {
	const child = start("--json");
	const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
	expect(await child.exited, stderr).toBe(0);
	const figures = JSON.parse(stdout);
	const { sentPackets } = figures;
	expect(sentPackets).toMatch(/^\d{5,}$/);
	expect(figures.relay).toEqual({
		receivedPackets: sentPackets,
		forwardedPackets: sentPackets,
		droppedPackets: "0",
	});
	expect(figures.outputs).toHaveLength(3);
	for (const output of figures.outputs) {
		expect(output).toMatchObject({
			sentPackets,
			receivedPackets: sentPackets,
			lostPackets: "0",
			duplicatedPackets: "0",
			reorderedPackets: "0",
			corruptPackets: "0",
		});
	}
	expect(figures.worker.restarts).toBe(1);
	await expectNothingLeft();
});

test("the demo interrupted in the middle leaves nothing", async () => {
	const child = start();
	let told = "";
	const decoder = new TextDecoder();
	for await (const bytes of child.stdout) {
		told += decoder.decode(bytes, { stream: true });
		if (told.includes(" 1 s ")) break;
	}
	child.kill("SIGINT");
	expect(await child.stderr.text()).toBe("sluice: demo interrupted: all cleaned up\n");
	expect(await child.exited).toBe(1);
	await expectNothingLeft();
});
