import { create, equals } from "@bufbuild/protobuf";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { ApplyResponse_Action, StoredRuleSchema } from "@sluice/proto/gen/rule";
import type { Logger } from "pino";
import { type AppendOutcome, type RuleLog, WINDOW, type WrittenRule } from "../nats/rule-log.ts";
import { NOT_CURRENT } from "../not-current.ts";
import { WriteQueue } from "../write-queue.ts";
import { type EditSubject, EditUnderWay } from "./edit-under-way.ts";
import type { Edit, Plan, PlannedChange, StoredEntry, Write } from "./plan.ts";
import type { RuleBook } from "./rule-book.ts";

export interface EditResult {
	/** Against what was stored when the edit began, in the order of the edit. */
	readonly changes: readonly PlannedChange[];
	readonly warnings: readonly string[];
	/** Revisions of what was written, by name. */
	readonly revisions: ReadonlyMap<string, bigint>;
}

/**
 * Gives the edit for what is stored at that moment; called again after every interference. A long edit is
 * given the new rules that were let in amid it: in order they come after it, and are not its to prune.
 */
export type EditSource = (passed: ReadonlySet<string>) => Edit;

const WAITING_WRITES = 1_024;
/** Gives up when others were faster for so long without one write of ours. */
const STALL_MS = 4_000;
const UNDO_ATTEMPTS = 10;
/** In all, for a storage that goes away amid an edit of several writes, or its undo: longer than a restart of nats-server takes. */
const AWAY_PATIENCE_MS = 30_000;
const AWAY_LOOK_MS = 100;
/** Two writers that meet again and again must get out of step. */
const BACKOFF_LIMIT_MS = 32;
const CATCH_UP_MS = 3_000;
/** At a pause; then the long edit writes at least half a window. A flood slows it down, and no more. */
const PASSING_EDITS = 32;

/** How far an edit has come. */
interface Progress {
	readonly done: Map<string, WrittenRule>;
	/** What is left for a storage that is away. */
	patienceMs: number;
	/** When it last wrote something, or the storage was back; performance.now(). */
	lastMs: number;
}

/**
 * Makes edits durable. Each is checked against the snapshot and written on
 * condition that nothing was written since; when somebody else was faster, it is
 * checked anew. All of an edit is written, or what was written of it is undone. Edits of
 * one rule pass a long one that has nothing to do with them.
 */
export class RuleWriter {
	readonly #book: RuleBook;
	readonly #ruleLog: Pick<RuleLog, "append">;
	readonly #logger: Logger;
	readonly #onWritten: (written: WrittenRule) => void;
	readonly #queue = new WriteQueue<EditSubject>(WAITING_WRITES);
	/** Writes that the storage confirmed: where the stream grew by more, others wrote. */
	#confirmed = 0n;

	/** @param onWritten called for every write, once it is durable; an undone edit's too, and what undid it. */
	constructor(
		book: RuleBook,
		ruleLog: Pick<RuleLog, "append">,
		logger: Logger,
		onWritten: (written: WrittenRule) => void = () => {},
	) {
		this.#book = book;
		this.#ruleLog = ruleLog;
		this.#logger = logger;
		this.#onWritten = onWritten;
	}

	/** With the subject of an edit of one rule, it need not wait for what has nothing to do with it. */
	edit(source: EditSource, subject?: EditSubject): Promise<EditResult> {
		return this.#queue.run(() => this.#edit(source), subject);
	}

	/** What the edit would do; throws what is wrong with it. */
	preview(source: EditSource): EditResult {
		this.#requireCurrent();
		const plan = this.#book.plan(source(new Set()));
		return { ...plan, revisions: new Map() };
	}

	/**
	 * Writes anew, as they are and with their revisions, some of the rules whose last write is at the sequence or before it.
	 * @returns whether none is left. @throws when none can be written.
	 */
	moveUp(upTo: bigint): Promise<boolean> {
		return this.#queue.run(async () => {
			this.#requireCurrent();
			const { entries, sequences, lastSequence } = this.#book.snapshot;
			const all = [...entries].filter(([name]) => (sequences.get(name) ?? 0n) <= upTo);
			const writes = all.slice(0, WINDOW).map(([name, previous]): Write => {
				const { value, revision } = previous;
				return { name, stored: create(StoredRuleSchema, { ...value, revision }), previous };
			});
			if (writes.length === 0) return true;
			const outcome = await this.#ruleLog.append(writes, lastSequence);
			const moved = outcome.written.length;
			this.#confirmed += BigInt(moved);
			await this.#book.snapshot.catchUp(CATCH_UP_MS);
			if (moved === 0) throw stallReason(outcome);
			return all.length === moved;
		});
	}

	async #edit(source: EditSource): Promise<EditResult> {
		const progress: Progress = { done: new Map(), patienceMs: 0, lastMs: performance.now() };
		const { done } = progress;
		const underWay = new EditUnderWay(this.#book);
		let first: Plan | undefined;
		let failed: AppendOutcome = { written: [], uncertain: [] };
		for (let attempt = 0; performance.now() - progress.lastMs < STALL_MS; attempt += 1) {
			let plan: Plan;
			try {
				this.#requireCurrent();
				plan = this.#book.plan(source(underWay.passed));
			} catch (refused) {
				throw done.size === 0 ? refused : await this.#undo(done, refused);
			}
			// One write is all or nothing by itself.
			if (first === undefined && plan.writes.length > 1) progress.patienceMs = AWAY_PATIENCE_MS;
			first ??= plan;
			const outcome = await this.#writeAll(plan, progress, underWay);
			if (outcome.failure === undefined) return editResult(first, plan, done);
			failed = outcome;
			this.#logger.debug({ attempt, failure: outcome.failure, written: done.size }, "write met another");
			if (outcome.failure === "stalled") break;
			await Bun.sleep(Math.random() * Math.min(2 ** attempt, BACKOFF_LIMIT_MS));
		}
		const reason = stallReason(failed);
		throw done.size === 0 ? reason : await this.#undo(done, reason, failed.failure === "stalled");
	}

	/** All of the plan, with pauses for edits that have nothing to do with it. */
	async #writeAll(plan: Plan, progress: Progress, underWay: EditUnderWay): Promise<AppendOutcome> {
		if (plan.writes.length <= WINDOW) return await this.#write(plan, progress);
		underWay.take(plan);
		const pause = () => this.#queue.hasWaiting((subject) => underWay.leavesAlone(subject));
		const checkedAt = this.#book.snapshot.lastSequence - this.#confirmed;
		for (let left = plan.writes; ; await this.#letPass(underWay)) {
			if (!this.#book.snapshot.current) await this.#catchUp({ ...plan, writes: left }, progress);
			// More in the stream than we wrote: others may have written what the plan does not know.
			if (this.#book.snapshot.lastSequence - this.#confirmed !== checkedAt)
				return { written: [], uncertain: [], failure: "interfered" };
			const outcome = await this.#write({ ...plan, writes: left }, progress, pause);
			left = left.slice(outcome.written.length);
			if (outcome.failure !== undefined || left.length === 0) return outcome;
		}
	}

	async #letPass(underWay: EditUnderWay): Promise<void> {
		const enters = (subject: EditSubject) => {
			if (!underWay.leavesAlone(subject)) return false;
			underWay.notePassing(subject);
			return true;
		};
		for (let k = 0; k < PASSING_EDITS && (await this.#queue.letPass(enters)); k += 1);
	}

	/** Writes the plan up to a pause; afterwards the snapshot holds what is stored, whoever wrote it. */
	async #write(plan: Plan, progress: Progress, pause: () => boolean = () => false): Promise<AppendOutcome> {
		if (plan.writes.length === 0) return { written: [], uncertain: [] };
		const base = this.#book.snapshot.lastSequence;
		const outcome = await this.#ruleLog.append(plan.writes, base, pause);
		this.#confirmed += BigInt(outcome.written.length);
		for (const written of outcome.written) this.#note(progress.done, written);
		if (outcome.written.length > 0) progress.lastMs = performance.now();
		if (outcome.failure === undefined) {
			const reached = base + BigInt(outcome.written.length);
			await this.#catchUp(plan, progress, undefined, reached);
			return outcome;
		}
		await this.#catchUp(plan, progress, outcome.cause);
		const found = outcome.uncertain.flatMap((write) => {
			const revision = this.#revisionIfWritten(write, base);
			return revision === undefined ? [] : [{ write, revision }];
		});
		for (const written of found) this.#note(progress.done, written);
		const all = [...outcome.written, ...found];
		// Not checked anew: what the edit expected to find does not stand any more, since it was carried out.
		if (all.length === plan.writes.length) return { written: all, uncertain: [] };
		// Nobody wrote: since a write of several failed, the server expects another sequence than it has.
		if (outcome.failure === "interfered" && this.#book.snapshot.lastSequence === base)
			return { ...outcome, failure: "unanswered" };
		return outcome;
	}

	/** Until the snapshot holds all up to the sequence, or to the stream's end. */
	async #catchUp(plan: Plan, progress: Progress, cause?: unknown, sequence?: bigint): Promise<void> {
		try {
			if (sequence === undefined) await this.#book.snapshot.catchUp(CATCH_UP_MS);
			else await this.#book.snapshot.reached(sequence, CATCH_UP_MS);
		} catch (thrown) {
			const sinceMs = performance.now();
			const back = await this.#untilBack(progress.patienceMs);
			progress.lastMs = performance.now();
			progress.patienceMs -= progress.lastMs - sinceMs;
			if (!back) throw this.#outcomeUnknown(plan, progress.done, cause ?? thrown);
		}
	}

	/** An undo must lead back to what was there before the whole edit. */
	#note(done: Map<string, WrittenRule>, written: WrittenRule): void {
		this.#onWritten(written);
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
		const open = plan.writes.filter((write) => !done.has(write.name)).length;
		const total = done.size + open;
		const count = `${done.size} of ${total} ${total === 1 ? "write is" : "writes are"} known to be stored`;
		return new SluiceError(
			"unavailable",
			`the storage does not answer, ${count}: look with rule list, then try again`,
			{
				cause,
			},
		);
	}

	/** Puts back what was before, as far as nobody else has changed or taken it since. */
	async #undo(done: ReadonlyMap<string, WrittenRule>, reason: unknown, stalled = false): Promise<unknown> {
		const left: string[] = [];
		// Of a storage that stores nothing each attempt would only run into its timeout.
		let gaveUp = stalled;
		let patienceMs = AWAY_PATIENCE_MS;
		for (const written of [...done.values()].reverse()) {
			let outcome = gaveUp ? "left" : await this.#undoOne(written);
			const sinceMs = performance.now();
			const patience = () => sinceMs + patienceMs - performance.now();
			while (outcome === "away" && patience() > 0) {
				await this.#untilBack(patience());
				outcome = await this.#undoOne(written);
			}
			patienceMs = patience();
			if (outcome !== "undone") left.push(written.write.name);
			gaveUp ||= outcome === "stalled" || outcome === "away";
		}
		this.#logger.warn({ undone: done.size - left.length, left, reason: errorText(reason) }, "edit undone");
		if (left.length === 0) return reason;
		const code = reason instanceof SluiceError ? reason.code : "internal";
		const names = `${left.slice(0, 5).join(", ")}${left.length > 5 ? ` and ${left.length - 5} more` : ""}`;
		return new SluiceError(code, `${errorText(reason)}; could not be put back: ${names}`, { cause: reason });
	}

	async #undoOne({ write, revision }: WrittenRule): Promise<"undone" | "left" | "stalled" | "away"> {
		for (let attempt = 1; attempt <= UNDO_ATTEMPTS; attempt += 1) {
			try {
				if (!this.#book.snapshot.current) return "away";
				const now = this.#book.entries.get(write.name);
				// An earlier attempt was stored, and its answer lost.
				if (isPutBack(write, now)) return "undone";
				const untouched = write.stored === undefined ? now === undefined : now?.revision === revision;
				if (!untouched) return "left";
				const plan = this.#book.plan(undoEdit(write));
				const outcome = await this.#write(plan, { done: new Map(), patienceMs: 0, lastMs: 0 });
				if (outcome.failure === undefined) return "undone";
				if (outcome.failure === "stalled") return "stalled";
			} catch (thrown) {
				this.#logger.warn({ rule: write.name, reason: errorText(thrown) }, "write cannot be undone");
				return thrown instanceof SluiceError && thrown.code === "unavailable" ? "away" : "left";
			}
		}
		return "left";
	}

	/** True once the snapshot holds what is stored; false when the time is over. */
	async #untilBack(timeoutMs: number): Promise<boolean> {
		const deadlineMs = performance.now() + timeoutMs;
		for (let leftMs = timeoutMs; leftMs > 0; leftMs = deadlineMs - performance.now()) {
			try {
				await this.#book.snapshot.catchUp(leftMs);
				return true;
			} catch {
				// A server that starts answers nothing yet, or says so at once.
				await Bun.sleep(AWAY_LOOK_MS);
			}
		}
		return false;
	}

	#requireCurrent(): void {
		if (!this.#book.snapshot.current) {
			throw new SluiceError("unavailable", NOT_CURRENT);
		}
	}
}

/** Why nothing could be written for so long. */
function stallReason({ failure, cause }: AppendOutcome): SluiceError {
	if (failure === "interfered")
		return new SluiceError("unavailable", "others write at the same time: try again");
	const text = `the storage refuses writes (${errorText(cause ?? "no answer")})`;
	// sluice up starts it anew; in containers, and elsewhere, nobody does.
	const server = failure === "stalled" ? ", which may have to be started anew" : "";
	return new SluiceError(
		"unavailable",
		`${text}: look at disk space and the log of nats-server${server}, then try again`,
		{
			cause,
		},
	);
}

function isPutBack({ previous }: Write, now: StoredEntry | undefined): boolean {
	if (previous === undefined || now === undefined) return previous === now;
	return equals(StoredRuleSchema, now.value, previous.value);
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
