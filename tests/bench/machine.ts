/** Where it ran: figures of different machines do not compare. */

import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { asOwner, checkout } from "../../scripts/owner.ts";
import { run } from "../netns/lab/commands.ts";
import { canMerge } from "./network.ts";

export interface Machine {
	readonly kernel: string;
	readonly cpuModel: string;
	readonly cpus: number;
	readonly memoryMebibytes: number;
	/** net.core.rmem_max: the most that a peer gets who asks for a receive buffer as anybody may. */
	readonly receiveBufferBytesMax: number;
	/** Of the runnable processes over the last minute, when the benchmark began: other people's work. */
	readonly loadAverage: number;
	/** Without ethtool the sink takes bursts packet by packet, in the relay's time. */
	readonly sinkMerges: boolean;
}

export function machine(): Machine {
	const all = cpus();
	return {
		kernel: release(),
		cpuModel: all[0]?.model.trim() ?? "unknown",
		cpus: all.length,
		receiveBufferBytesMax: Number(readFileSync("/proc/sys/net/core/rmem_max", "utf8")),
		memoryMebibytes: Math.round(totalmem() / 2 ** 20),
		sinkMerges: canMerge(),
		loadAverage: Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]),
	};
}

/** The commit that runs, with a plus if the checkout differs from it; "unknown" without git. */
export async function commit(): Promise<string> {
	const git = (...words: string[]) =>
		run(asOwner(["git", "-C", checkout, ...words])).catch(() => ({ code: 1, stdout: "", stderr: "" }));
	const head = await git("rev-parse", "HEAD");
	if (head.code !== 0) return "unknown";
	const changes = await git("status", "--porcelain");
	return head.stdout.trim() + (changes.stdout.trim() === "" ? "" : "+");
}

export async function toolVersions(): Promise<Record<string, string>> {
	const natsServer = await run([join(checkout, ".tools/bin/nats-server"), "--version"]);
	const iproute = await run(["ip", "-V"]);
	return {
		sluice: (JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string }).version,
		bun: Bun.version,
		"nats-server": natsServer.stdout.trim(),
		iproute2: iproute.stdout.trim(),
	};
}
