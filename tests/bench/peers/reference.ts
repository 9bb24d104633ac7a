/** The relay of dataplane-c/bench/reference_relay.c: plain C with recvmmsg and sendmmsg. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { IN, OUT, type Peer } from "./peer.ts";
import { startProcesses } from "./process-peer.ts";

const PROGRAM = resolve(import.meta.dir, "../../../build/bench/reference_relay");

export const reference: Peer = {
	name: "reference",
	about: "plain C, one thread, recvmmsg and sendmmsg, 32 MiB of receive buffer in all",
	absent: () => (existsSync(PROGRAM) ? undefined : "it is not built: run ./sluice build"),
	unable(task) {
		if (task.workers > 1) return "it has one thread";
		return task.idleRules > 0 ? "it has no rules" : undefined;
	},
	version: async () => undefined,
	async start(network, task) {
		const argv = [PROGRAM, "--in", `${IN.interface}:${IN.group}:${IN.port}`];
		argv.push("--out", `${OUT.interface}:${OUT.group}:${OUT.port}`);
		argv.push("--streams", `${task.streams}`, "--copies", `${task.copies}`);
		return startProcesses(network, [argv]);
	},
};
