import type { EventPublisher } from "@sluice/lib/event-publisher";
import { RuleStateChangedSchema, WorkerChangedSchema } from "@sluice/proto/gen/event";
import { RuleStatus_State } from "@sluice/proto/gen/rule";
import { ruleStateEventSubject, workerEventSubject } from "@sluice/proto/subjects";
import type { DesiredRule, RuleState } from "../reconcile/types.ts";
import { workerOf } from "../record/host-record.ts";
import type { WorkerStatus } from "../worker-processes/fleet.ts";

/** What a host's record says at one moment, as far as events speak of it. */
export interface Told {
	readonly rules: readonly RuleState[];
	/** Of which `rules` speak. */
	readonly desired: readonly Pick<DesiredRule, "name" | "uid" | "revision">[];
	readonly workers: readonly WorkerStatus[];
}

interface Stated {
	readonly rule: RuleState;
	readonly uid: string;
	readonly revision: bigint;
}

/** Tells watchers what changed in this host's record, after it was written: whoever then asks is told the same. */
export class HostEvents {
	readonly #host: string;
	readonly #publisher: Pick<EventPublisher, "tell">;
	#rules: readonly RuleState[] = [];
	#states = new Map<string, Stated>();
	#workers = new Map<number, string>();

	constructor(host: string, publisher: Pick<EventPublisher, "tell">) {
		this.#host = host;
		this.#publisher = publisher;
	}

	tell(now: Told): void {
		// A new array with each round; a heartbeat brings the one of before.
		if (now.rules !== this.#rules) this.#tellRules(now);
		this.#rules = now.rules;
		for (const worker of now.workers) this.#tellWorker(worker);
	}

	#tellRules({ rules, desired }: Told): void {
		const before = this.#states;
		const written = new Map(desired.map((rule) => [rule.name, rule]));
		this.#states = new Map();
		for (const rule of rules) {
			const { uid = "", revision = 0n } = written.get(rule.name) ?? {};
			const stated = { rule, uid, revision };
			this.#states.set(rule.name, stated);
			if (!same(before.get(rule.name), stated)) this.#tellState(stated, false);
			before.delete(rule.name);
		}
		for (const stated of before.values()) this.#tellState(stated, true);
	}

	#tellState({ rule, uid, revision }: Stated, withdrawn: boolean): void {
		const { name, state, reason } = rule;
		this.#publisher.tell(ruleStateEventSubject(this.#host, name), RuleStateChangedSchema, {
			host: this.#host,
			name,
			uid,
			...(withdrawn ? { withdrawn } : { revision, state: RuleStatus_State[state], reason }),
			atUnixMs: BigInt(Date.now()),
		});
	}

	#tellWorker(status: WorkerStatus): void {
		const { slot, pid, state, restarts } = status;
		const text = `${pid} ${state} ${restarts}`;
		if (this.#workers.get(slot) === text) return;
		this.#workers.set(slot, text);
		this.#publisher.tell(workerEventSubject(this.#host, slot), WorkerChangedSchema, {
			worker: workerOf(this.#host, status),
			atUnixMs: BigInt(Date.now()),
		});
	}
}

function same(before: Stated | undefined, now: Stated): boolean {
	return (
		before !== undefined &&
		before.revision === now.revision &&
		before.uid === now.uid &&
		before.rule.state === now.rule.state &&
		before.rule.reason === now.rule.reason
	);
}
