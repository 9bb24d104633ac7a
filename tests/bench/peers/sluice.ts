/** Sluice itself: a whole `sluice up` with one worker; NATS and every service count as its processes. */

import { Relay } from "../../netns/lab/relay.ts";
import { addressAfter, IN, OUT, type Peer, type Task } from "./peer.ts";

/** Beside every group that anything is sent to. */
const IDLE = { group: "239.64.0.1", to: "239.96.0.1" };

export interface RuleText {
	readonly name: string;
	readonly input: { interface: string; group: string; port: number };
	readonly outputs: { interface: string; address: string; port: number }[];
}

export function rulesOf(task: Task): RuleText[] {
	const rule = (name: string, group: string, to: string, copies: number): RuleText => ({
		name,
		input: { ...IN, group },
		outputs: Array.from({ length: copies }, (_, copy) => ({
			interface: OUT.interface,
			address: addressAfter(to, copy),
			port: OUT.port,
		})),
	});
	const after = (first: string, index: number) => addressAfter(first, index);
	return [
		...Array.from({ length: task.streams }, (_, stream) =>
			rule(`stream-${stream}`, after(IN.group, stream), after(OUT.group, stream), task.copies),
		),
		...Array.from({ length: task.idleRules }, (_, index) =>
			rule(`idle-${index}`, after(IDLE.group, index), after(IDLE.to, index), 1),
		),
	];
}

/** Bun compiles what runs often: the first seconds of a program are not its life. */
const SETTLE_MS = 3_000;

export const sluice: Peer = {
	name: "sluice",
	about: "the whole cluster on one host, one worker unless the variant says more, every process counted",
	absent: () => undefined,
	unable: () => undefined,
	version: async () => undefined,
	async start(network, task) {
		const relay = new Relay(network.relay, "bench");
		try {
			await relay.up("--workers", `${task.workers}`, "--priority", task.priority);
			await relay.applyRules(rulesOf(task));
			await Bun.sleep(SETTLE_MS);
		} catch (error) {
			await relay.remove();
			throw error;
		}
		return {
			turnTo: async (next) => void (await relay.applyRules(rulesOf(next), "--prune")),
			stop: () => relay.remove(),
			alive: () => true,
			said: () => relay.log,
			relay,
		};
	},
};
