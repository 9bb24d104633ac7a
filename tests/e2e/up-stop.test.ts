import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { standStill } from "@sluice/lib/testing/signals";
import { Namespace } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";
import { childrenOf, parentOf, processesIn, socketsIn } from "./up-processes.ts";

const ROOT = resolve(import.meta.dir, "../..");
const READY_LIMIT_MS = 3000;
/** What a process is given to end by itself. */
const STOP_GRACE_MS = 5000;

let namespace: Namespace;
let relay: Relay;

beforeEach(async () => {
	namespace = await Namespace.create("up");
	relay = new Relay(namespace);
});

afterEach(async () => {
	await relay.remove();
	await namespace.remove();
});

const video = ["--in", "lo:239.1.1.1:5001", "--out", "lo:239.10.1.1:6001"];

/** The stages that `up` said it runs from, at each of its starts. */
function stagesIn(log: string): string[] {
	return [...log.matchAll(/"stage":"([^"]+)"/g)].map(([, stage]) => stage ?? "");
}

/** Names of everything in the data directory; the store's own files grow and shrink as it likes. */
function filesOf(dataDir: string): string[] {
	const all = readdirSync(dataDir, { recursive: true, encoding: "utf8" });
	return all.filter((name) => !/\.(blk|db|sum|inf|dat|key)$/.test(name)).sort();
}

/** Whoever has ended and is not fetched yet is not. */
function isAlive(pid: number): boolean {
	try {
		return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch {
		return false;
	}
}

describe("sluice up, stopped", () => {
	test("SIGTERM ends every process and socket, and the exit code is 0", async () => {
		await relay.up("--workers", "2");
		await relay.sluice("rule", "add", "video", ...video);
		// up, nats-server, control-api, aggregator, the keeper, supervisor, two workers.
		expect((await processesIn(namespace)).length).toBe(8);
		expect(await relay.down()).toBe(0);
		expect(await processesIn(namespace)).toEqual([]);
		expect(await socketsIn(namespace)).toEqual([]);
	});

	test("five starts are fast and leave the same behind as the first", async () => {
		const startsMs: number[] = [];
		const files: string[][] = [];
		for (let cycle = 0; cycle < 5; cycle += 1) {
			const startedAt = performance.now();
			await relay.up();
			startsMs.push(performance.now() - startedAt);
			if (cycle === 0) await relay.sluice("rule", "add", "video", ...video);
			expect((await relay.rules()).map(({ name }) => name)).toEqual(["video"]);
			expect(await relay.down()).toBe(0);
			expect(await processesIn(namespace)).toEqual([]);
			files.push(filesOf(relay.dataDir));
		}
		expect(files.slice(1)).toEqual(Array.from({ length: 4 }, () => files[0] ?? []));
		const stages = stagesIn(relay.log);
		expect([stages.length, new Set(stages).size]).toEqual([5, 1]);
		expect(Math.min(...startsMs)).toBeLessThan(READY_LIMIT_MS);
	});

	test("from a checkout and a data directory below a 0700 folder it leaves no file anywhere else", async () => {
		// Every place where programs leave files is a fresh one here, seen by nobody else.
		const script = `
			set -eu
			mount -t tmpfs none /mnt
			mkdir -m 0700 /mnt/home
			mkdir /mnt/home/checkout
			mount --bind "$ROOT" /mnt/home/checkout
			for folder in /tmp /dev/shm /var/tmp; do mount -t tmpfs none "$folder"; done
			ls -A /run | sort >/mnt/home/run-before
			touch /mnt/home/out
			ip netns exec "$NAMESPACE" /mnt/home/checkout/sluice up --host-id relay-a \\
				--data-dir /mnt/home/data >/mnt/home/out 2>/mnt/home/err &
			up=$!
			until grep -q '^sluice ready' /mnt/home/out; do
				kill -0 $up || { cat /mnt/home/err >&2; exit 1; }
				sleep 0.05
			done
			ip netns exec "$NAMESPACE" /mnt/home/checkout/sluice rule list --data-dir /mnt/home/data
			kill -TERM $up
			wait $up
			find /tmp /dev/shm /var/tmp -mindepth 1 
			ls -A /run | sort | comm -13 /mnt/home/run-before -`;
		const outcome = Bun.spawn(["unshare", "--mount", "bash", "-c", script], {
			env: { ...process.env, ROOT, NAMESPACE: namespace.name },
			stdout: "pipe",
			stderr: "pipe",
		});
		const [stdout, stderr] = await Promise.all([outcome.stdout.text(), outcome.stderr.text()]);
		expect([await outcome.exited, stderr]).toEqual([0, ""]);
		expect(stdout).toBe("no rules yet: add one with sluice rule add\n");
	});

	test("a later signal does not wait for a process that hangs", async () => {
		await relay.up();
		const hanging = childrenOf(relay.pid).get("stats-aggregator") ?? 0;
		await standStill(hanging);
		const keeper = relay.pid;
		const toldMs = Date.now();
		const gone = relay.down();
		// What comes within half a second is the same wish.
		const again = setInterval(() => isAlive(keeper) && process.kill(keeper, "SIGINT"), 100);
		expect(await gone.finally(() => clearInterval(again))).toBe(0);
		// By up's own clock, whatever else its end takes: waiting for it would have taken 5 s.
		const ended = relay.log.split("\n").find((line) => line.includes("did not stop in time and is killed"));
		const { time, pid } = JSON.parse(ended ?? "{}") as { time: number; pid: number };
		expect(pid).toBe(hanging);
		expect(time - toldMs).toBeLessThan(STOP_GRACE_MS);
		expect(await processesIn(namespace)).toEqual([]);
	});

	test("killed itself, it takes every process along, and the next start waits for them", async () => {
		await relay.up("--workers", "2");
		await relay.sluice("rule", "add", "video", ...video);
		const left = (await processesIn(namespace)).filter((pid) => pid !== relay.pid);
		// One of them takes its time.
		await standStill(childrenOf(relay.pid).get("stats-aggregator") ?? 0);
		process.kill(relay.pid, "SIGKILL");
		await relay.up("--workers", "2");
		expect(left.filter(isAlive)).toEqual([]);
		expect((await relay.rules()).map(({ name }) => name)).toEqual(["video"]);
		expect((await processesIn(namespace)).length).toBe(8);
	});

	test("killed with its keeper and its supervisor, it leaves no worker that goes on", async () => {
		await relay.up("--workers", "2");
		const left = (await processesIn(namespace)).filter((pid) => pid !== relay.pid);
		const supervisor = childrenOf(relay.pid).get("supervisor") ?? 0;
		const stuck = childrenOf(supervisor).get("worker") ?? 0;
		const keeper = parentOf(supervisor);
		process.kill(supervisor, "SIGKILL");
		// One of its workers cannot end by itself, as the other does.
		await standStill(stuck);
		for (const pid of [keeper, relay.pid]) process.kill(pid, "SIGKILL");
		await relay.up("--workers", "2");
		expect(left.filter(isAlive)).toEqual([]);
		const killed = relay.log.split("\n").filter((line) => line.includes("is killed"));
		expect(killed.map((line) => (JSON.parse(line) as { pid: number }).pid)).toEqual([stuck]);
		expect((await processesIn(namespace)).length).toBe(8);
	});

	test("files are those of the layout, with its owners and modes", async () => {
		await relay.up();
		const listed = await namespace.must([
			"find",
			relay.dataDir,
			"-maxdepth",
			"2",
			"-printf",
			"%M %u:%g %P\n",
		]);
		const lines = listed.trim().split("\n").sort();
		expect(lines).toEqual(
			[
				"drwxr-x--- root:sluice ",
				"drwxr-x--- root:sluice credentials",
				"-rw------- root:root credentials/control-api.json",
				"-rw------- root:root credentials/operator.json",
				"-rw------- root:root credentials/operator.nk",
				"-rw-r----- root:sluice credentials/reader.json",
				"-rw------- root:root credentials/stats-aggregator.json",
				"-rw------- root:root credentials/supervisor.json",
				"-rw------- root:root credentials/worker.json",
				"-rw------- root:root http-token",
				"-rw------- root:root incarnation",
				"-rw------- root:root installation",
				"-rw-r----- root:root lock",
				"-rw------- root:root relay-lock",
				"drwx------ sluice-nats:sluice-nats nats",
				"drwx------ sluice-nats:sluice-nats nats/jetstream",
				"-rw-r----- root:sluice-nats nats.conf",
				"drwx------ root:root supervisor",
				"-rw------- root:root supervisor/desired",
			].sort(),
		);
	});
});
