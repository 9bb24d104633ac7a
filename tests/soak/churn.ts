/** Carries out what the plan of a round says, while datagrams flow. */

import { childrenOf } from "../e2e/up-processes.ts";
import type { Outcome } from "../netns/lab/commands.ts";
import { churnedRule, idleRules, type RuleSpec } from "./flows.ts";
import {
	describeAction,
	type Plan,
	type ProcessAction,
	type RuleAction,
	type Service,
	type Timed,
} from "./plan.ts";
import { processesOf } from "./processes.ts";
import type { Rig } from "./rig.ts";

/** So long after the end of a service the command line may still say that it cannot do its work. */
const OUTAGE_ECHO_MS = 15_000;
/** How long a machine that is full may let the command line wait; that it takes 5 s is for other tests to show. */
export const PATIENCE_SECONDS = 30;

export class Churn {
	readonly faults: string[] = [];
	/** What was done, with the time at which it was. */
	readonly done: string[] = [];
	/** How often each role's process was ended on purpose. */
	readonly ended = new Map<string, number>();
	actions = 0;
	/** Commands that found no cluster although it was there, and were given again. */
	readonly repeated: string[] = [];
	readonly #startMs = performance.now();
	readonly #unsure = new Set<number>();
	#outageUntilMs = Number.NEGATIVE_INFINITY;

	constructor(readonly rig: Rig) {}

	async carryOut(plan: Plan): Promise<void> {
		await Promise.all([
			this.#inTurn(plan.rules, (action) => this.#changeRules(action)),
			this.#inTurn(plan.processes, (action) => this.#disturb(action)),
		]);
	}

	/** Whether the cluster may say that it is not there, to one who asked at that time. */
	excuses(askedAtMs: number): boolean {
		return askedAtMs < this.#outageUntilMs + OUTAGE_ECHO_MS;
	}

	async #inTurn<Action extends RuleAction | ProcessAction>(
		actions: readonly Timed<Action>[],
		act: (action: Action) => Promise<void>,
	): Promise<void> {
		for (const action of actions) {
			await Bun.sleep(Math.max(0, action.atMs - (performance.now() - this.#startMs)));
			this.done.push(`${Math.round(performance.now() - this.#startMs)} ms: ${describeAction(action)}`);
			this.actions += 1;
			await act(action);
		}
	}

	/**
	 * Once in some thousand commands on a machine with five times the work it can do, a connection to NATS took
	 * longer than the command had. Nothing was done then; twice in a row is a fault.
	 */
	async #command(...words: string[]): Promise<Outcome> {
		const askedAtMs = performance.now();
		const outcome = await this.rig.relay.cli(...words);
		if (!outcome.stderr.includes("is not reachable") || this.excuses(askedAtMs)) return outcome;
		this.repeated.push(words.join(" "));
		return this.rig.relay.cli(...words);
	}

	/** A command must succeed, or the cluster have an excuse; then nobody knows whether it did. */
	#judge(what: string, askedAtMs: number, outcome: Outcome): boolean {
		if (outcome.code === 0) return true;
		if (!/^sluice: .+\n$/.test(outcome.stderr)) this.faults.push(`${what}: not one line: ${outcome.stderr}`);
		if (!this.excuses(askedAtMs)) this.faults.push(`${what}: exit ${outcome.code}: ${outcome.stderr.trim()}`);
		return false;
	}

	async #changeRules(action: RuleAction): Promise<void> {
		const { relay } = this.rig;
		const askedAtMs = performance.now();
		if (action.kind === "many-rules") {
			const rules = idleRules(action.count);
			for (const what of ["put", "remove"] as const) {
				await relay.eachRule(rules, what).catch((error: Error) => {
					if (!this.excuses(askedAtMs)) this.faults.push(`many rules, ${what}: ${error.message}`);
				});
			}
			return;
		}
		// Once nobody knows whether it is there, only the end of the round tells.
		if (this.#unsure.has(action.slot)) return;
		const [verb] = action.kind.split("-") as [string];
		const name = `churned-${action.slot}`;
		const words =
			action.kind === "remove-rule" ? [name] : ruleWords(churnedRule(action.slot, action.outputs));
		const outcome = await this.#command("rule", verb, ...words, "--timeout", `${PATIENCE_SECONDS}`);
		if (!this.#judge(`rule ${verb} ${name}`, askedAtMs, outcome)) this.#unsure.add(action.slot);
	}

	async #disturb(action: ProcessAction): Promise<void> {
		switch (action.kind) {
			case "end-worker":
				return this.#endWorker(action.worker, action.signal);
			case "restart-worker":
				return this.#restartWorker(action.worker);
			case "kill-service":
				return this.#killService(action.service);
			case "freeze-nats":
				return this.#freezeNats(action.forMs);
		}
	}

	#noteEnd(role: string): void {
		this.ended.set(role, (this.ended.get(role) ?? 0) + 1);
	}

	/** Workers by number; of one that is not there at the moment nothing is known. */
	async #worker(number: number): Promise<{ role: string; pid: number } | undefined> {
		const { lab, relay } = this.rig;
		const role = `worker-${number}`;
		const pid = (await processesOf(lab.relay, relay.pid)).get(role);
		return pid === undefined ? undefined : { role, pid };
	}

	async #endWorker(number: number, signal: NodeJS.Signals): Promise<void> {
		const worker = await this.#worker(number);
		if (worker === undefined) return;
		this.#noteEnd(worker.role);
		send(worker.pid, signal);
	}

	async #restartWorker(number: number): Promise<void> {
		const askedAtMs = performance.now();
		this.#noteEnd(`worker-${number}`);
		const outcome = await this.#command("worker", "restart", `${number}`);
		// A host that is just replacing a dead worker says so.
		const busy = this.done.slice(-3).some((line) => line.includes("SIG"));
		if (outcome.code !== 0 && !busy) this.#judge(`worker restart ${number}`, askedAtMs, outcome);
	}

	#pidOf(service: Service): number | undefined {
		return childrenOf(this.rig.relay.pid).get(service);
	}

	#killService(service: Service): void {
		const pid = this.#pidOf(service);
		if (pid === undefined) return;
		this.#noteEnd(service);
		send(pid, "SIGKILL");
		this.#outageUntilMs = Math.max(this.#outageUntilMs, performance.now());
	}

	async #freezeNats(forMs: number): Promise<void> {
		const pid = this.#pidOf("nats-server");
		if (pid === undefined) return;
		this.#outageUntilMs = performance.now() + forMs;
		send(pid, "SIGSTOP");
		await Bun.sleep(forMs);
		send(pid, "SIGCONT");
	}
}

/** It may have ended by itself, or by what was done before. */
function send(pid: number, signal: NodeJS.Signals): void {
	try {
		process.kill(pid, signal);
	} catch {
		// The accounts tell whether that mattered.
	}
}

function ruleWords({ name, input, outputs }: RuleSpec): string[] {
	const outs = outputs.flatMap((output) => ["--out", `${output.interface}:${output.address}:${output.port}`]);
	return [name, "--in", `${input.interface}:${input.group}:${input.port}`, ...outs];
}
