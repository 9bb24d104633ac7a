import { readdirSync, readFileSync } from "node:fs";
import { until } from "../netns/lab/commands.ts";
import type { Namespace } from "../netns/lab/namespace.ts";

/** Pids of everything that runs in the namespace. */
export async function processesIn(namespace: Namespace): Promise<number[]> {
	const pids = Bun.spawn(["ip", "netns", "pids", namespace.name], { stdout: "pipe" });
	return (await pids.stdout.text()).split("\n").filter(Boolean).map(Number);
}

/** The services of `sluice up`, by what they run: "nats-server", "control-api.js"… */
export function childrenOf(keeper: number): Map<string, number> {
	const children = new Map<string, number>();
	for (const thread of threadsOf(keeper)) {
		for (const pid of startedBy(keeper, thread)) {
			const argv = argvOf(pid);
			// What it keeps is meant, and told by the same words.
			if (argv.some((word) => word.endsWith("/sluice-keeper"))) {
				for (const [name, kept] of childrenOf(Number(pid))) children.set(name, kept);
				continue;
			}
			const file = argv.find((word) => /\/(nats-server|[a-z-]+\.js)$/.test(word));
			if (file !== undefined) children.set(file.replace(/^.*\/(.*?)(\.js)?$/, "$1"), Number(pid));
		}
	}
	return children;
}

/** None of a process that ended. */
function threadsOf(pid: number): string[] {
	try {
		return readdirSync(`/proc/${pid}/task`);
	} catch {
		return [];
	}
}

/** None of a thread that ended after it was listed. */
function startedBy(pid: number, thread: string): string[] {
	try {
		return readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").trim().split(" ").filter(Boolean);
	} catch {
		return [];
	}
}

/** The supervisor of `sluice up`. */
export function supervisorOf(up: number): number {
	const pid = childrenOf(up).get("supervisor");
	if (pid === undefined) throw new Error("no supervisor runs");
	return pid;
}

/** Another than this one; the keeper has started it, and it may have done nothing yet. */
export async function successorOf(supervisor: number, up: number): Promise<number> {
	return until(
		"its successor runs",
		() => {
			const pid = childrenOf(up).get("supervisor");
			return pid === supervisor ? undefined : pid;
		},
		20_000,
		1,
	);
}

/** Empty for one that ended after it was listed. */
export function argvOf(pid: number | string): string[] {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
	} catch {
		return [];
	}
}

export function parentOf(pid: number): number {
	return Number(statOf(pid)[1]);
}

/** One letter: "S" while it waits for something, "T" when it is stopped. */
export function stateOf(pid: number): string {
	return statOf(pid)[0] ?? "";
}

/** How long it has run; the kernel counts to its start in hundredths of a second. */
export function ranMs(pid: number): number {
	const [upSeconds] = readFileSync("/proc/uptime", "utf8").split(" ");
	return 1_000 * Number(upSeconds) - 10 * Number(statOf(pid)[19]);
}

/** From the state on: the name before it, in brackets, may hold anything. */
function statOf(pid: number): string[] {
	const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
	return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** The namespace's sockets of every kind that a process could have left; TCP's own memory of closed ones aside. */
export async function socketsIn(namespace: Namespace): Promise<string[]> {
	const tables = ["tcp", "tcp6", "udp", "udp6", "raw", "unix", "packet", "netlink"];
	const TIME_WAIT = " 06 ";
	const found: string[] = [];
	for (const table of tables) {
		const text = await namespace.read(`/proc/net/${table}`);
		const lines = text.trim().split("\n").slice(1);
		// Whoever reads the table has a netlink socket of the kernel's (pid 0) beside it.
		found.push(...lines.filter((line) => !line.includes(TIME_WAIT) && !isKernelNetlink(table, line)));
	}
	return found;
}

function isKernelNetlink(table: string, line: string): boolean {
	const [, , portId] = line.trim().split(/\s+/);
	return table === "netlink" && portId === "0";
}
