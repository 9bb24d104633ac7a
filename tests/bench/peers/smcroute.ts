/** The kernel's own multicast forwarding, set up by smcroute. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { ADDRESSES } from "../network.ts";
import { IN, OUT, type Peer, pairs, type Task } from "./peer.ts";
import { startProcesses, versionOf } from "./process-peer.ts";

/** Of the kernel: at most so many groups are joined by one socket, and one socket is all that smcrouted has. */
const GROUPS_MAX = 20;
const PROGRAM = "/usr/sbin/smcrouted";

function program(): string | undefined {
	return Bun.which("smcrouted") ?? (existsSync(PROGRAM) ? PROGRAM : undefined);
}

export function configuration(task: Task): string {
	const lines = [`phyint ${IN.interface} enable`, `phyint ${OUT.interface} enable`];
	for (const { group } of pairs(task)) {
		lines.push(`mgroup from ${IN.interface} group ${group}`);
		// With its source: without, the first datagram of each would wait for the daemon.
		lines.push(`mroute from ${IN.interface} source ${ADDRESSES.source} group ${group} to ${OUT.interface}`);
	}
	return `${lines.join("\n")}\n`;
}

export const smcroute: Peer = {
	name: "smcroute",
	about:
		"the kernel forwards, group and port unchanged, in the generator's time: no CPU of its own is counted",
	absent() {
		if (!existsSync("/proc/net/ip_mr_vif")) return "this kernel does no multicast routing";
		return program() === undefined ? "smcroute is not installed" : undefined;
	},
	unable(task) {
		if (task.workers > 1) return "it has no workers";
		if (task.idleRules > 0) return "it has no rules";
		if (task.copies > 1) return "the kernel sends one copy to each interface";
		return task.streams > GROUPS_MAX ? `it joins at most ${GROUPS_MAX} groups` : undefined;
	},
	version: () => versionOf([program() ?? PROGRAM, "-v"]),
	async start(network, task) {
		const folder = mkdtempSync("/tmp/sluice-bench-");
		const file = `${folder}/smcroute.conf`;
		writeFileSync(file, configuration(task));
		const own = ["-f", file, "-P", `${folder}/pid`, "-u", `${folder}/socket`];
		const running = startProcesses(network, [[program() ?? PROGRAM, "-n", "-N", ...own]]);
		return {
			...running,
			arrivesAt: { group: IN.group, port: IN.port },
			async stop() {
				await running.stop();
				rmSync(folder, { recursive: true, force: true });
			},
		};
	},
};
