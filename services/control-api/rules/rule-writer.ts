import { equals } from "@bufbuild/protobuf";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { ApplyResponse_Action, StoredRuleSchema } from "@sluice/proto/gen/rule";
import type { Logger } from "pino";
import type { AppendOutcome, RuleLog, WrittenRule } from "../nats/rule-log.ts";
import { WriteQueue } from "../write-queue.ts";
import type { Edit, Plan, PlannedChange, Write } from "./plan.ts";
import type { RuleBook } from "./rule-book.ts";

export interface EditResult {
	/** Against what was stored when the edit began, in the order of the edit. */
	readonly changes: readonly PlannedChange[];
	readonly warnings: readonly string[];
	/** Revisions of what was written, by name. */
	readonly revisions: ReadonlyMap<string, bigint>;
}

/** Gives the edit for what is stored at that moment; called again after every interference. */
export type EditSource = () => Edit;

const WAITING_WRITES = 1_024;
/** Gives up when others were faster for so long without one write of ours. */
const STALL_MS = 4_000;
const UNDO_ATTEMPTS = 10;
/** Two writers that meet again and again must get out of step. */
const BACKOFF_LIMIT_MS = 32;
const CATCH_UP_MS = 3_000;

/**
 * Makes edits durable. Each is checked against the snapshot and written on
 * condition that nothing was written since; when somebody else was faster, it is
 * checked anew. All of an edit is written, or what was written of it is undone.
 */
export class RuleWriter {
	readonly #book: RuleBook;
	readonly #ruleLog: Pick<RuleLog, "append">;
	readonly #logger: Logger;
	readonly #queue = new WriteQueue(WAITING_WRITES);

	constructor(book: RuleBook, ruleLog: Pick<RuleLog, "append">, logger: Logger) {
		this.#book = book;
		this.#ruleLog = ruleLog;
		this.#logger = logger;
	}

	edit(source: EditSource): Promise<EditResult> {
		return this.#queue.run(() => this.#edit(source));
	}

	/** What the edit would do; throws what is wrong with it. */
	preview(source: EditSource): EditResult {
		this.#requireCurrent();
		const plan = this.#book.plan(source());
		return { ...plan, revisions: new Map() };
	}

	async #edit(source: EditSource): Promise<EditResult> {
		const done = new Map<string, WrittenRule>();
		let first: Plan | undefined;
		let progressMs = performance.now();
		let last: AppendOutcome | undefined;
		for (let attempt = 0; performance.now() - progressMs < STALL_MS; attempt += 1) {
			let plan: Plan;
			try {
				this.#requireCurrent();
				plan = this.#book.plan(source());
			} catch (refused) {
				throw done.size === 0 ? refused : await this.#undo(done, refused);
			}
			first ??= plan;
			const outcome = await this.#write(plan, done);
			if (outcome.failure === undefined) return editResult(first, plan, done);
			last = outcome;
			this.#logger.debug({ attempt, failure: outcome.failure, written: done.size }, "write met another");
			if (outcome.written.length > 0) progressMs = performance.now();
			await Bun.sleep(Math.random() * Math.min(2 ** attempt, BACKOFF_LIMIT_MS));
		}
		const busy = stalled(last);
		throw done.size === 0 ? busy : await this.#undo(done, busy);
	}

	/** Writes the plan; afterwards the snapshot holds what is stored, whoever wrote it. */
	async #write(plan: Plan, done: Map<string, WrittenRule>): Promise<AppendOutcome> {
		if (plan.writes.length === 0) return { written: [], uncertain: [] };
		const base = this.#book.snapshot.lastSequence;
		const outcome = await this.#ruleLog.append(plan.writes, base);
		for (const written of outcome.written) this.#note(done, written);
		if (outcome.failure === undefined) {
			await this.#book.snapshot.reached(base + BigInt(plan.writes.length), CATCH_UP_MS);
			return outcome;
		}
		try {
			await this.#book.snapshot.catchUp(CATCH_UP_MS);
		} catch (thrown) {
			throw this.#outcomeUnknown(plan, done, outcome.cause ?? thrown);
		}
		for (const write of outcome.uncertain) {
			const revision = this.#revisionIfWritten(write, base);
			if (revision !== undefined) this.#note(done, { write, revision });
		}
		return outcome;
	}

	/** An undo must lead back to what was there before the whole edit. */
	#note(done: Map<string, WrittenRule>, written: WrittenRule): void {
		const { write, revision } = written;
		const previous = done.has(write.name) ? done.get(write.name)?.write.previous : write.previous;
		done.set(write.name, { write: { ...write, previous }, revision });
	}

	/** The storage's answer was lost: the snapshot tells whether the write was. */
	#revisionIfWritten(write: Write, base: bigint): bigint | undefined {
		const entry = this.#book.entries.get(write.name);
		if (write.stored === undefined) return entry === undefined ? this.#book.snapshot.lastSequence : undefined;
		if (entry === undefined || entry.revision <= base) return undefined;
		return equals(StoredRuleSchema, entry.value, write.stored) ? entry.revision : undefined;
	}

	#outcomeUnknown(plan: Plan, done: ReadonlyMap<string, WrittenRule>, cause: unknown): SluiceError {
		const count = `${done.size} of ${plan.writes.length} writes are known to be stored`;
		return new SluiceError(
			"unavailable",
			`the storage does not answer, ${count}: look with rule list, then try again`,
			{
				cause,
			},
		);
	}

	/** Puts back what was before, as far as nobody else has changed or taken it since. */
	async #undo(done: ReadonlyMap<string, WrittenRule>, reason: unknown): Promise<unknown> {
		const left: string[] = [];
		for (const written of [...done.values()].reverse()) {
			// Without a connection each attempt would only run into its timeout.
			const undone = this.#book.snapshot.current && (await this.#undoOne(written));
			if (!undone) left.push(written.write.name);
		}
		this.#logger.warn({ undone: done.size - left.length, left, reason: errorText(reason) }, "edit undone");
		if (left.length === 0) return reason;
		const code = reason instanceof SluiceError ? reason.code : "internal";
		const names = `${left.slice(0, 5).join(", ")}${left.length > 5 ? ` and ${left.length - 5} more` : ""}`;
		return new SluiceError(code, `${errorText(reason)}; could not be put back: ${names}`, { cause: reason });
	}

	async #undoOne(written: WrittenRule): Promise<boolean> {
		const { write, revision } = written;
		for (let attempt = 1; attempt <= UNDO_ATTEMPTS; attempt += 1) {
			try {
				const now = this.#book.entries.get(write.name);
				const untouched = write.stored === undefined ? now === undefined : now?.revision === revision;
				if (!untouched) return false;
				const plan = this.#book.plan(undoEdit(write));
				const outcome = await this.#write(plan, new Map());
				if (outcome.failure === undefined) return true;
			} catch (thrown) {
				this.#logger.warn({ rule: write.name, reason: errorText(thrown) }, "write cannot be undone");
				return false;
			}
		}
		return false;
	}

	#requireCurrent(): void {
		if (!this.#book.snapshot.current) {
			throw new SluiceError("unavailable", "the connection to NATS is away: try again in a few seconds");
		}
	}
}

/** @param last what became of the last attempt. */
function stalled(last: AppendOutcome | undefined): SluiceError {
	return last?.failure === "unanswered"
		? new SluiceError(
				"unavailable",
				"NATS cannot store rules: look at its log, and whether the disk of its data directory is full",
				{ cause: last.cause },
			)
		: new SluiceError("unavailable", "others write at the same time: try again");
}

function undoEdit(write: Write): Edit {
	const before = write.previous?.value;
	const rule = before?.rule;
	return rule === undefined
		? { puts: [], removals: [write.name], newUid: () => "" }
		: { puts: [rule], removals: [], newUid: () => before?.uid ?? "" };
}

/** What a retry found already written counts as what the first plan said of it. */
function editResult(first: Plan, last: Plan, done: ReadonlyMap<string, WrittenRule>): EditResult {
	const revisions = new Map([...done].map(([name, written]) => [name, written.revision]));
	if (first === last) return { changes: last.changes, warnings: last.warnings, revisions };
	const lastChanges = new Map(last.changes.map((change) => [change.name, change]));
	const firstNames = new Set(first.changes.map((change) => change.name));
	const changes = [
		...first.changes.map((change) =>
			change.action === ApplyResponse_Action.UNCHANGED ? (lastChanges.get(change.name) ?? change) : change,
		),
		...last.changes.filter((change) => !firstNames.has(change.name)),
	];
	return { changes, warnings: first.warnings.length > 0 ? first.warnings : last.warnings, revisions };
}
