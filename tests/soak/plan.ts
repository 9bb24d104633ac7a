/** What happens in a round of the soak, decided by the seed alone. */

import { Random } from "./random.ts";

/** A rule that comes and goes, by its number. */
export type RuleAction =
	| { readonly kind: "add-rule"; readonly slot: number; readonly outputs: number }
	| { readonly kind: "set-rule"; readonly slot: number; readonly outputs: number }
	| { readonly kind: "remove-rule"; readonly slot: number }
	/** So many rules put one after the other, and then removed. */
	| { readonly kind: "many-rules"; readonly count: number };

export type Service = "nats-server" | "control-api" | "stats-aggregator" | "supervisor";

export type ProcessAction =
	| {
			readonly kind: "end-worker";
			readonly worker: number;
			readonly signal: "SIGKILL" | "SIGSEGV" | "SIGSTOP";
	  }
	| { readonly kind: "restart-worker"; readonly worker: number }
	| { readonly kind: "kill-service"; readonly service: Service }
	| { readonly kind: "freeze-nats"; readonly forMs: number };

export type Timed<Action> = Action & { readonly atMs: number };

export interface Plan {
	/** Side by side, each in its own order. */
	readonly rules: readonly Timed<RuleAction>[];
	readonly processes: readonly Timed<ProcessAction>[];
}

export interface RoundSettings {
	readonly seed: number;
	readonly round: number;
	readonly loadMs: number;
	/** Nothing is killed: long enough lives are needed to tell whether a process grows. */
	readonly calm: boolean;
}

export const RULE_SLOTS = 4;
export const WORKERS = 2;
const OUTPUTS_MAX = 4;
const MANY_RULES_MAX = 60;
/** Between two ends of processes: less than a successor needs now and then, more than it needs as a rule. */
const PROCESS_PAUSE_MS = [700, 6_000] as const;
const RULE_PAUSE_MS = [100, 2_500] as const;
const FREEZE_MS = [1_000, 8_000] as const;

const PROCESS_KINDS = [
	...["end-worker", "end-worker", "end-worker", "end-worker"],
	...["restart-worker", "kill-nats", "kill-api", "kill-statistics", "freeze-nats", "kill-supervisor"],
] as unknown as readonly [string, ...string[]];

function between(random: Random, [least, most]: readonly [number, number]): number {
	return least + random.below(most - least);
}

function times(random: Random, loadMs: number, pauseMs: readonly [number, number]): number[] {
	const found: number[] = [];
	// What happens late has its consequences while datagrams still flow.
	for (let at = between(random, pauseMs); at < loadMs * 0.9; at += between(random, pauseMs)) found.push(at);
	return found;
}

function nextRuleAction(random: Random, present: Set<number>): RuleAction {
	if (random.below(12) === 0) return { kind: "many-rules", count: 1 + random.below(MANY_RULES_MAX) };
	const slot = random.below(RULE_SLOTS);
	const outputs = 1 + random.below(OUTPUTS_MAX);
	if (!present.has(slot)) {
		present.add(slot);
		return { kind: "add-rule", slot, outputs };
	}
	if (random.below(2) === 0) return { kind: "set-rule", slot, outputs };
	present.delete(slot);
	return { kind: "remove-rule", slot };
}

function nextProcessAction(random: Random): ProcessAction {
	switch (random.pick(PROCESS_KINDS)) {
		case "end-worker":
			return {
				kind: "end-worker",
				worker: random.below(WORKERS),
				signal: random.pick(["SIGKILL", "SIGKILL", "SIGSEGV", "SIGSTOP"]),
			};
		case "restart-worker":
			return { kind: "restart-worker", worker: random.below(WORKERS) };
		case "kill-nats":
			return { kind: "kill-service", service: "nats-server" };
		case "kill-api":
			return { kind: "kill-service", service: "control-api" };
		case "kill-statistics":
			return { kind: "kill-service", service: "stats-aggregator" };
		case "kill-supervisor":
			return { kind: "kill-service", service: "supervisor" };
		default:
			return { kind: "freeze-nats", forMs: between(random, FREEZE_MS) };
	}
}

/** Each round starts without any rule that comes and goes, so that it can be planned by itself. */
export function planRound({ seed, round, loadMs, calm }: RoundSettings): Plan {
	const ruleRandom = Random.ofPart(seed, 2 * round);
	const processRandom = Random.ofPart(seed, 2 * round + 1);
	const present = new Set<number>();
	const rules = times(ruleRandom, loadMs, RULE_PAUSE_MS).map((atMs) => ({
		atMs,
		...nextRuleAction(ruleRandom, present),
	}));
	const processes = calm
		? []
		: times(processRandom, loadMs, PROCESS_PAUSE_MS).map((atMs) => ({
				atMs,
				...nextProcessAction(processRandom),
			}));
	return { rules, processes };
}

/** The first round shows what is there without any harm; the last third is calm. */
export function isCalm(round: number, rounds: number): boolean {
	return round === 0 || round >= Math.ceil((2 * rounds) / 3);
}

export function describeAction(action: RuleAction | ProcessAction): string {
	switch (action.kind) {
		case "end-worker":
			return `${action.signal} to worker ${action.worker}`;
		case "restart-worker":
			return `worker restart ${action.worker}`;
		case "kill-service":
			return `SIGKILL to ${action.service}`;
		case "freeze-nats":
			return `nats-server frozen for ${action.forMs} ms`;
		case "many-rules":
			return `${action.count} rules put and removed`;
		default:
			return `${action.kind} ${action.slot}`;
	}
}
