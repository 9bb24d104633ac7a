import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { must } from "../../netns/lab/commands.ts";

/** Processes in a network namespace, by what they are called. */
export async function processesIn(namespace: string): Promise<string[]> {
	const pids = (await must(["ip", "netns", "pids", namespace])).split("\n").filter(Boolean);
	const names = await Promise.all(
		pids.map((pid) =>
			Bun.file(`/proc/${pid}/comm`)
				.text()
				.catch(() => ""),
		),
	);
	return names
		.map((name) => name.trim())
		.filter(Boolean)
		.sort();
}

interface Rights {
	uid: string | undefined;
	bounding: string | undefined;
	newPrivileges: string;
}

export function rightsOf(pid: number): Rights {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
	return {
		uid: field("Uid"),
		bounding: field("CapBnd"),
		newPrivileges: field("NoNewPrivs") === "1" ? "no" : "yes",
	};
}

export function commandOf(pid: number): string {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8");
	} catch {
		return "";
	}
}

/** A container's process 1 and all below it; none of one that ended meanwhile. */
export function processIds(pid: number): number[] {
	return [
		pid,
		...threadsOf(pid)
			.flatMap((task) => startedBy(pid, task))
			.flatMap(processIds),
	];
}

function threadsOf(pid: number): string[] {
	try {
		return readdirSync(`/proc/${pid}/task`);
	} catch {
		return [];
	}
}

/** None of a thread that ended after it was listed. */
function startedBy(pid: number, task: string): number[] {
	try {
		const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8");
		return children.split(" ").filter(Boolean).map(Number);
	} catch {
		return [];
	}
}

/** Empty for one that ended. */
export function environmentOf(pid: number): string {
	try {
		return readFileSync(`/proc/${pid}/environ`, "utf8");
	} catch {
		return "";
	}
}

/** The relay's supervisor, if one runs. @param keeper process 1 of its container */
export function supervisorOf(keeper: number): number | undefined {
	return processIds(keeper).find((pid) => commandOf(pid).startsWith("./bun\0./supervisor.js"));
}

/** Where control groups share real-time out (cgroup v1), a container's has none of it until somebody gives it some. */
export function allowRealtime(pid: number): void {
	const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
	const path = /^\d+:(?:[^:\n]*,)?cpu(?:,[^:\n]*)?:(.*)$/m.exec(groups)?.[1];
	if (path === undefined) return;
	for (const group of [dirname(path), path]) {
		const file = `/sys/fs/cgroup/cpu${group}/cpu.rt_runtime_us`;
		if (existsSync(file)) writeFileSync(file, "100000");
	}
}
