/** socat, as people use it: one process for each stream and each output. */

import { ADDRESSES } from "../network.ts";
import { BUFFER_BYTES, IN, OUT, type Peer, pairs } from "./peer.ts";
import { startProcesses, versionOf } from "./process-peer.ts";

const PROCESSES_MAX = 256;
const BUFFER_BYTES_MIN = 2 ** 20;

function argv(group: string, to: string, bufferBytes: number): string[] {
	const input = [
		`UDP4-RECV:${IN.port}`,
		`bind=${group}`,
		"reuseaddr",
		`ip-add-membership=${group}:${IN.interface}`,
		// The kernel gives no more than net.core.rmem_max; socat has no option for SO_RCVBUFFORCE.
		`rcvbuf=${bufferBytes}`,
	];
	const output = [
		`UDP4-DATAGRAM:${to}:${OUT.port}`,
		`ip-multicast-if=${ADDRESSES.output}`,
		"ip-multicast-ttl=16",
		"ip-multicast-loop=0",
	];
	return ["socat", "-u", "-b", "65536", input.join(","), output.join(",")];
}

export const socat: Peer = {
	name: "socat",
	about: "one process for each stream and output, with the receive buffer that net.core.rmem_max allows",
	absent: () => (Bun.which("socat") === null ? "socat is not installed" : undefined),
	unable(task) {
		if (task.idleRules > 0) return "it has no rules";
		const processes = Math.max(task.streams, task.copies);
		return processes > PROCESSES_MAX ? `${processes} processes, one for each stream` : undefined;
	},
	version: () => versionOf(["socat", "-V"]),
	async start(network, task) {
		const all = pairs(task);
		const bufferBytes = Math.max(BUFFER_BYTES_MIN, Math.floor(BUFFER_BYTES / all.length));
		return startProcesses(
			network,
			all.map(({ group, to }) => argv(group, to, bufferBytes)),
		);
	},
};
