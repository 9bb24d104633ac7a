import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { getPriority } from "node:os";
import { join, resolve } from "node:path";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import { SUPERVISOR_CAPABILITIES } from "../../services/cli/up/launch.ts";
import { argvOf, childrenOf, parentOf } from "../e2e/up-processes.ts";
import { must, run, until } from "./lab/commands.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { gen } from "./lab/traffic.ts";

const TAMPER = resolve(import.meta.dir, "../../build/test-tools/tamper");
const LISTENER = [resolve(import.meta.dir, "../../.tools/bin/bun"), `${import.meta.dir}/lab/listener.ts`];

const CAPABILITY_SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] as const;
const NONE = "0000000000000000";
/** linux/capability.h */
const NUMBERS: Readonly<Record<(typeof SUPERVISOR_CAPABILITIES)[number], bigint>> = {
	kill: 5n,
	setgid: 6n,
	setuid: 7n,
	setpcap: 8n,
	net_bind_service: 10n,
	net_admin: 12n,
	net_raw: 13n,
	sys_nice: 23n,
	bpf: 39n,
};

const options = ["--workers", "2", "--priority", "realtime"];
const { lab, relay } = await relayOnChain(options, async ({ relay }) => {
	// A port below 1024 is one that the supervisor's capabilities have to suffice for.
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:514");
	await relay.sluice("rule", "add", "local", "--in", "r0:10.1.0.1:515", "--out", "r1:239.10.1.2:6001");
});

function statusOf(path: string): Map<string, string> {
	const lines = readFileSync(`${path}/status`, "utf8").split("\n");
	return new Map(lines.map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]));
}

/** What `ask` says of each thread, but of those that ended after they were listed. */
function threadsOf<T>(pid: number, ask: (path: string) => T): T[] {
	return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
		const path = `/proc/${pid}/task/${thread}`;
		try {
			return [ask(path)];
		} catch (error) {
			if (existsSync(path)) throw error;
			return [];
		}
	});
}

function uidOf(pid: number): string {
	return statusOf(`/proc/${pid}`).get("Uid")?.split("\t")[0] ?? "";
}

/** Runs a program as the user of a process, with nothing else either. */
function asUserOf(pid: number, ...argv: string[]) {
	const uid = uidOf(pid);
	const drop = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
	return run(["setpriv", `--reuid=${uid}`, `--regid=${uid}`, ...drop, "--", ...argv]);
}

/** Inodes of its sockets, with the descriptor of each. */
function socketsOf(pid: number): Map<string, string> {
	const inodes = readdirSync(`/proc/${pid}/fd`).flatMap((fd): [string, string][] => {
		try {
			const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
			return inode === undefined ? [] : [[inode, fd]];
		} catch {
			return []; // closed meanwhile
		}
	});
	return new Map(inodes);
}

test("every thread of a worker has its own user, no capability, no new privileges, and a filter", async () => {
	const workers = await relay.workers();
	expect(workers.map(({ state }) => state)).toEqual(["RUNNING", "RUNNING"]);
	for (const { pid } of workers) {
		const threads = threadsOf(pid, statusOf);
		expect(threads.length).toBeGreaterThan(1);
		for (const fields of threads) {
			expect(fields.get("Uid")).not.toMatch(/\b0\b/);
			expect(fields.get("Groups")).toBe("");
			expect(CAPABILITY_SETS.map((set) => fields.get(set))).toEqual(CAPABILITY_SETS.map(() => NONE));
			expect([fields.get("NoNewPrivs"), fields.get("Seccomp")]).toEqual(["1", "2"]);
		}
	}
});

/** proc(5): the field 41 of a thread's stat. */
function policyOf(thread: string): string | undefined {
	return readFileSync(`/proc/${thread}/stat`, "utf8").split(") ")[1]?.split(" ")[38];
}

const SCHED_RR = "2";

test("workers and supervisor come before other processes, in whatever sessions those are", async () => {
	for (const { pid } of await relay.workers()) {
		const fields = threadsOf(pid, statusOf).find((each) => each.get("Name") === "sluice-packets");
		const packets = fields?.get("Pid") ?? "";
		await until("its packet thread comes before others", () =>
			getPriority(Number(packets)) === -10 && policyOf(packets) === SCHED_RR ? true : undefined,
		);
		const group = `/proc/${pid}/autogroup`;
		// Kernels without autogroup have no such file, and need none.
		if (!existsSync(group)) continue;
		await until("its session comes before others", () =>
			/ nice -10$/m.test(readFileSync(group, "utf8")) ? true : undefined,
		);
	}
});

test("the filter lets workers relay, and die by a fault as the supervisor expects", async () => {
	const count = 2_000;
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count });
	const figures = await relay.figuresAfter(count);
	expect(figures.rules.find(({ name }) => name === "video")?.forwardedPackets).toBe(count);
	expect(relay.log).not.toContain("without a system call filter");
	const [victim] = await relay.workers();
	process.kill(victim?.pid ?? 0, "SIGSEGV");
	const successor = await until("its successor runs", async () =>
		(await relay.workers()).find(({ state, restarts }) => state === "RUNNING" && restarts === 1),
	);
	expect(successor.lastExit).toBe("SIGSEGV");
	expect(statusOf(`/proc/${successor.pid}`).get("Seccomp")).toBe("2");
});

test("a worker's packet sockets are in a group, with filters that it cannot change", async () => {
	const table = (await lab.relay.read("/proc/net/packet")).trim().split("\n").slice(1);
	const packets = new Set(table.map((line) => line.trim().split(/\s+/)[8] ?? ""));
	for (const { pid } of await relay.workers()) {
		const held = [...socketsOf(pid)].filter(([inode]) => packets.has(inode));
		// One input interface.
		expect(held).toHaveLength(1);
		for (const [, fd] of held) {
			const line = await must([TAMPER, String(pid), fd, uidOf(pid)]);
			expect(line).toBe("fanout=1 locked=1 detach=EPERM attach=EPERM unlock=EPERM\n");
		}
	}
});

test("besides those a worker holds its channel, its connection to NATS and egress sockets, no raw one and no netlink", async () => {
	const inodes = async (table: string, column: number) => {
		const lines = (await lab.relay.read(`/proc/net/${table}`)).trim().split("\n").slice(1);
		return lines.map((line) => [line.trim().split(/\s+/)[column] ?? "", table] as const);
	};
	const columns = { packet: 8, netlink: 9, raw: 9, raw6: 9, udp: 9, udp6: 9, tcp: 9, tcp6: 9, unix: 6 };
	const tables = await Promise.all(Object.entries(columns).map(([table, column]) => inodes(table, column)));
	const kinds = new Map(tables.flat());
	for (const { pid } of await relay.workers()) {
		const held = [...socketsOf(pid).keys()].map((inode) => kinds.get(inode) ?? "unknown").toSorted();
		expect([...new Set(held)]).toEqual(["packet", "tcp", "udp", "unix"]);
		expect(held.filter((kind) => kind === "tcp")).toHaveLength(1);
	}
});

test("the worker's user can read neither the data directory nor any credential", async () => {
	const [worker] = await relay.workers();
	const pid = worker?.pid ?? 0;
	const credentials = join(relay.dataDir, "credentials");
	for (const path of [relay.dataDir, credentials, join(relay.dataDir, "nats")]) {
		expect((await asUserOf(pid, "ls", path)).code).not.toBe(0);
	}
	// By descriptor no folder stands in the way: the file's owner and mode decide alone.
	const byDescriptor = (path: string) => {
		const uid = uidOf(pid);
		const script = `exec setpriv --reuid=${uid} --regid=${uid} --clear-groups cat /proc/self/fd/3 3<"$0"`;
		return run(["bash", "-c", script, path]);
	};
	expect((await byDescriptor("/etc/hostname")).code).toBe(0);
	const secrets = readdirSync(credentials).map((name) => join(credentials, name));
	expect(secrets.length).toBe(7);
	for (const path of [...secrets, join(relay.dataDir, "http-token"), join(relay.dataDir, "nats.conf")]) {
		expect((await byDescriptor(path)).stderr).toContain("Permission denied");
	}
});

test("the worker's user cannot look into a worker", async () => {
	const [worker] = await relay.workers();
	const pid = worker?.pid ?? 0;
	expect((await asUserOf(pid, "head", "-c1", "/proc/self/environ")).code).toBe(0);
	for (const file of ["environ", "maps", "mem"]) {
		const outcome = await asUserOf(pid, "head", "-c1", `/proc/${pid}/${file}`);
		expect(outcome.stderr).toContain("Permission denied");
	}
});

test("how bun is to treat memory, and what it need not compile, reaches every process", async () => {
	const listed = await run(["ip", "netns", "pids", lab.relay.name]);
	const pids = listed.stdout.split("\n").filter(Boolean);
	expect(pids.length).toBeGreaterThanOrEqual(7);
	const names = [
		"BUN_GC_TIMER_INTERVAL",
		"BUN_JSC_thresholdForFTLOptimizeAfterWarmUp",
		"MIMALLOC_PURGE_HOLES_MIN_INTERVAL",
	];
	for (const pid of pids)
		for (const name of names) expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toContain(`${name}=`);
});

test("the worker's credential hears nothing", async () => {
	const subjects = [
		">",
		"sluice.v1.rule.put",
		"_INBOX.worker.x",
		kvSubject(buckets.rules, ">"),
		"sluice.v1.counters.>",
	];
	const listen = async (name: string, ...heard: string[]) => {
		const file = join(relay.dataDir, "credentials", `${name}.json`);
		const text = await lab.relay.must([...LISTENER, file, ...heard]);
		return text
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line) as { error: string | null });
	};
	expect(await listen("operator", "sluice.v1.stats.x")).toMatchObject([{ error: null }]);
	for (const { error } of await listen("worker", ...subjects)) expect(error).toMatch(/permission/i);
});

test("services but the supervisor are no root, each its own user, without capabilities", async () => {
	const children = childrenOf(relay.pid);
	const services = ["nats-server", "control-api", "stats-aggregator"].map((name) => children.get(name) ?? 0);
	for (const pid of services) {
		const fields = statusOf(`/proc/${pid}`);
		expect(fields.get("Uid")).not.toMatch(/\b0\b/);
		expect(CAPABILITY_SETS.map((set) => fields.get(set))).toEqual(CAPABILITY_SETS.map(() => NONE));
		expect(fields.get("NoNewPrivs")).toBe("1");
	}
	const [worker] = await relay.workers();
	expect(new Set([...services.map(uidOf), uidOf(worker?.pid ?? 0)]).size).toBe(4);
});

test("the supervisor and its keeper have the capabilities it needs and can gain no other", () => {
	const supervisor = childrenOf(relay.pid).get("supervisor") ?? 0;
	const keeper = parentOf(supervisor);
	expect(argvOf(keeper)[0]).toEndWith("/sluice-keeper");
	const needed = SUPERVISOR_CAPABILITIES.reduce((sum, name) => sum | (1n << NUMBERS[name]), 0n);
	for (const pid of [supervisor, keeper]) {
		const fields = statusOf(`/proc/${pid}`);
		for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect(BigInt(`0x${fields.get(set)}`)).toBe(needed);
		expect([fields.get("CapInh"), fields.get("CapAmb")]).toEqual([NONE, NONE]);
		expect(fields.get("NoNewPrivs")).toBe("1");
	}
});

test("docs/security.md says what each of them is for, and of no other", () => {
	const page = readFileSync(resolve(import.meta.dir, "../../docs/security.md"), "utf8");
	const section = page.split("### The supervisor's capabilities")[1]?.split("\n### ")[0] ?? "";
	const rows = section.split("\n").filter((line) => line.startsWith("| `"));
	const named = rows.flatMap((row) => row.split("|")[1]?.match(/[a-z_]+/g) ?? []);
	expect(named.toSorted()).toEqual([...SUPERVISOR_CAPABILITIES].toSorted());
});
