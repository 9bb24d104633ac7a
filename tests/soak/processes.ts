/** What the relay's processes hold: memory, descriptors, sockets. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { processesIn } from "../e2e/up-processes.ts";
import type { Namespace } from "../netns/lab/namespace.ts";

function read(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch {
		// It ended after it was listed.
		return "";
	}
}

function listing(path: string): string[] {
	try {
		return readdirSync(path);
	} catch {
		return [];
	}
}

/** "supervisor", "worker-1", "nats-server"…; undefined: a command of somebody's, or not yet what it will be. */
function roleOf(pid: number, upPid: number): string | undefined {
	if (pid === upPid) return "up";
	const argv = read(`/proc/${pid}/cmdline`).split("\0");
	const [program = ""] = argv;
	if (program.endsWith("/sluice-keeper")) return "keeper";
	if (program.endsWith("/nats-server")) return "nats-server";
	if (!program.endsWith("/bun")) return undefined;
	const bundle = argv.map((word) => /\/([a-z-]+)\.js$/.exec(word)?.[1]).find((name) => name !== undefined);
	if (bundle === "cli") return undefined;
	if (bundle !== "worker") return bundle;
	const core = pinnedCore(pid);
	return core === undefined ? undefined : `worker-${core}`;
}

/** Workers differ by the core that their packet thread is pinned to, which one that just starts has not yet. */
function pinnedCore(pid: number): string | undefined {
	for (const thread of listing(`/proc/${pid}/task`)) {
		const core = /^Cpus_allowed_list:\s+([0-9]+)$/m.exec(read(`/proc/${pid}/task/${thread}/status`))?.[1];
		if (core !== undefined) return core;
	}
	return undefined;
}

/** The relay's own processes by role. */
export async function processesOf(namespace: Namespace, upPid: number): Promise<Map<string, number>> {
	const found = new Map<string, number>();
	for (const pid of await processesIn(namespace)) {
		const role = roleOf(pid, upPid);
		if (role !== undefined) found.set(role, pid);
	}
	return found;
}

export function residentBytes(pid: number): number | undefined {
	const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1];
	return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024;
}

/** Descriptors of a process, counted by what they are of; nats-server opens and closes its files as it likes. */
function descriptorsOf(pid: number): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const descriptor of listing(`/proc/${pid}/fd`)) {
		let target: string;
		try {
			target = readlinkSync(`/proc/${pid}/fd/${descriptor}`);
		} catch {
			continue;
		}
		if (target.includes("/jetstream/")) continue;
		const kind = target.replace(/:\[\d+\]$/, "");
		counts[kind] = (counts[kind] ?? 0) + 1;
	}
	return counts;
}

/** Groups that the namespace is a member of, and packet sockets that are open in it. */
async function kernelObjects(namespace: Namespace): Promise<Record<string, number>> {
	const groups = (await namespace.read("/proc/net/igmp")).match(/^\t{4}[0-9A-F]{8} /gm)?.length ?? 0;
	const lines = (table: string) =>
		namespace.read(`/proc/net/${table}`).then((text) => text.trim().split("\n"));
	return {
		memberships: groups,
		"packet sockets": (await lines("packet")).length - 1,
		"udp sockets": (await lines("udp")).length - 1,
	};
}

export type Holdings = Record<string, Record<string, number>>;

/** Everything that must be as it was, whenever the same rules are there and nothing happens. */
export async function holdings(namespace: Namespace, upPid: number): Promise<Holdings> {
	const found: Holdings = { kernel: await kernelObjects(namespace) };
	for (const [role, pid] of await processesOf(namespace, upPid)) found[role] = descriptorsOf(pid);
	return found;
}

/** What differs, in words. */
export function differences(before: Holdings, after: Holdings): string[] {
	const found: string[] = [];
	for (const role of new Set([...Object.keys(before), ...Object.keys(after)])) {
		const [was, is] = [before[role] ?? {}, after[role] ?? {}];
		for (const kind of new Set([...Object.keys(was), ...Object.keys(is)])) {
			const [then, now] = [was[kind] ?? 0, is[kind] ?? 0];
			if (then !== now) found.push(`${role}: ${kind}: ${then} before, ${now} now`);
		}
	}
	return found;
}
