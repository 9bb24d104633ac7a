import { planDrivers, shardsOf } from "./drivers.ts";
import { driverKey, groupKey, ruleKey, shardsKey, TABLE_KEY } from "./keys.ts";
import { sameRule, sameTable } from "./same-table.ts";
import type { Command, Desired, Membership, Observed, Plan, RuleState, WorkerView } from "./types.ts";
import { collectWants, type Verdict, type Wants } from "./wants.ts";

/**
 * What to do so that what is open becomes what is desired, in the order that loses
 * no datagram of any rule:
 *
 *   in   shards → egress → table → filter → join     a datagram comes when all is ready for it
 *   out  leave → filter → table → egress → shards    none comes any more when its way is taken apart
 *
 * The commands assume that each succeeds. Whoever executes them stops after the
 * first kind of which one failed, and asks again: what depends on the failure is
 * then left out until it may be retried.
 */
export function reconcile(desired: Desired, observed: Observed): Plan {
	const wants = collectWants(desired, observed);
	const { open, nowMs } = observed;
	// Asked only for what is refused; with many rules there are many keys.
	const wanted = open.failures.size > 0 ? wantedKeys(wants, observed.limits.workers) : new Set<string>();
	const refused = (key: string) => (open.failures.get(key)?.retryAtMs ?? 0) > nowMs;
	const tableWaits = isOrphaned(observed) && open.table !== undefined && !sameTable(open.table, wants.table);
	const tableRefused = refused(TABLE_KEY) && !sameTable(open.table, wants.table);
	const memberships = planMemberships(wants, observed, refused);

	const commands: Command[] = [
		...welcomes(observed),
		...forgets(observed, wanted),
		...uselessShards(observed),
		...handOvers(observed, refused),
		...openings(wants, observed, refused),
		...memberships.leavesBefore,
		...removedDestinations(wants, observed),
	];
	if (!tableRefused && !tableWaits) {
		if (!sameTable(open.table, wants.table)) commands.push({ kind: "install-table", table: wants.table });
		commands.push(
			...addedDestinations(wants, observed, refused),
			...memberships.joins,
			...memberships.leavesAfter,
			...(isOrphaned(observed) ? [] : closings(wants, observed)),
		);
	}
	const missing = tableRefused ? missingRows(wants, observed) : undefined;
	const tableFailure = open.failures.get(TABLE_KEY)?.reason;
	return {
		commands,
		rules: wants.verdicts.map((verdict) =>
			stateOf(verdict, observed, missing?.has(verdict.uid) === true ? tableFailure : undefined),
		),
		// After a while rules say why they are PENDING.
		waits: tableWaits && !observed.workersDown,
		retryAtMs: nextRetry(observed, wanted),
	};
}

/**
 * Nobody runs, and rings may hold a batch that was left half sent: whoever comes next gets the
 * table and the sockets that it was begun with, and those of now after that.
 */
function isOrphaned({ workers, open }: Observed): boolean {
	if (workers.some(({ phase }) => phase === "running" || phase === "draining")) return false;
	return [...open.shards.values()].some(({ shards }) => shards.some(({ driver }) => driver === undefined));
}

function welcomes({ workers }: Observed): Command[] {
	return workers
		.filter((worker) => worker.phase === "connected")
		.map((worker) => ({ kind: "welcome-worker", slot: worker.slot }));
}

function handOvers({ links, open, workers, limits }: Observed, refused: (key: string) => boolean): Command[] {
	const those = (wanted: WorkerView["phase"]) =>
		workers.filter(({ phase }) => phase === wanted).map(({ slot }) => slot);
	const shards = shardsOf(links, open.shards);
	return planDrivers(shards, those("running"), limits.shardsPerWorker, those("draining"))
		.filter(({ ifindex, shard }) => !refused(driverKey(ifindex, shard)))
		.map((handOver) => ({ kind: "hand-over", ...handOver }));
}

function wantedKeys(wants: Wants, workers: number): Set<string> {
	const keys = new Set<string>([TABLE_KEY]);
	for (const ifindex of wants.shards.keys()) {
		keys.add(shardsKey(ifindex));
		for (let shard = 0; shard < workers; shard += 1) keys.add(driverKey(ifindex, shard));
	}
	for (const ifindex of wants.shardsRefused.keys()) keys.add(shardsKey(ifindex));
	for (const key of wants.egress.keys()) keys.add(key);
	for (const key of wants.drains.keys()) keys.add(key);
	for (const key of wants.destinations.keys()) keys.add(key);
	for (const group of wants.groups.values()) for (const membership of group) keys.add(membership.key);
	for (const { uid } of wants.verdicts) keys.add(ruleKey(uid));
	return keys;
}

/** Rules that the table in force does not have as they should be. */
function missingRows(wants: Wants, { open }: Observed): Set<string> {
	const rows = new Map(open.table?.rules.map((row) => [row.uid, row]));
	const missing = wants.table.rules.filter((row) => {
		const current = rows.get(row.uid);
		return current === undefined || !sameRule(current, row);
	});
	return new Set(missing.map(({ uid }) => uid));
}

function forgets({ open }: Observed, wanted: ReadonlySet<string>): Command[] {
	return [...open.failures.keys()]
		.filter((key) => !wanted.has(key))
		.map((key) => ({ kind: "forget-failure", key }));
}

/**
 * An interface that is gone carries nothing, nor do deaf rings: their memory is free for those that
 * come in their place.
 */
function uselessShards({ links, open }: Observed): Command[] {
	const there = new Set(links.map((link) => link.ifindex));
	return [...open.shards.values()]
		.filter(({ ifindex, deaf }) => deaf || !there.has(ifindex))
		.map(({ ifindex }) => ({ kind: "close-shards", ifindex }));
}

function openings(wants: Wants, { open }: Observed, refused: (key: string) => boolean): Command[] {
	const commands: Command[] = [];
	for (const [ifindex, { link, ringBytes }] of wants.shards) {
		if (!open.shards.has(ifindex)) commands.push({ kind: "open-shards", link, ringBytes });
	}
	for (const egress of wants.egress.values()) {
		if (!open.egress.has(egress.key) && !refused(egress.key)) commands.push({ kind: "open-egress", egress });
	}
	for (const drain of wants.drains.values()) {
		if (!open.drains.has(drain.key) && !refused(drain.key)) commands.push({ kind: "open-drain", drain });
	}
	return commands;
}

interface MembershipPlan {
	readonly leavesBefore: Command[];
	readonly joins: Command[];
	readonly leavesAfter: Command[];
}

function planMemberships(
	wants: Wants,
	{ open }: Observed,
	refused: (key: string) => boolean,
): MembershipPlan {
	const plan: MembershipPlan = { leavesBefore: [], joins: [], leavesAfter: [] };
	const wanted = new Map<string, Membership>();
	for (const group of wants.groups.values()) {
		for (const membership of group) wanted.set(membership.key, membership);
	}
	for (const membership of wanted.values()) {
		if (refused(membership.key)) continue;
		const joined = open.memberships.get(membership.key);
		if (joined === undefined) plan.joins.push({ kind: "join", membership });
		else if (joined.carrierEpoch !== membership.carrierEpoch) plan.joins.push({ kind: "rejoin", membership });
	}
	// The last first: the kernel walks an interface's groups for each, from the one that was joined last.
	for (const membership of [...open.memberships.values()].reverse()) {
		if (wanted.has(membership.key)) continue;
		const successors = wants.groups.get(groupKey(membership.ifindex, membership.group));
		if (successors === undefined) plan.leavesBefore.push({ kind: "leave", membership });
		// The group stays in another mode: the old membership goes once the new ones hold.
		else if (successors.every((successor) => !refused(successor.key))) {
			plan.leavesAfter.push({ kind: "leave", membership });
		}
	}
	return plan;
}

/** Those of an interface that is gone went with its shards. */
function removedDestinations(wants: Wants, { links, open }: Observed): Command[] {
	const there = new Set(links.map((link) => link.ifindex));
	return [...open.destinations.values()]
		.filter(({ key, ifindex }) => there.has(ifindex) && !wants.destinations.has(key))
		.map((destination) => ({ kind: "remove-destination", destination }));
}

function addedDestinations(wants: Wants, { open }: Observed, refused: (key: string) => boolean): Command[] {
	return [...wants.destinations.values()]
		.filter((destination) => !open.destinations.has(destination.key) && !refused(destination.key))
		.map((destination) => ({ kind: "add-destination", destination }));
}

function closings(wants: Wants, { links, open }: Observed): Command[] {
	const commands: Command[] = [];
	for (const egress of open.egress.values()) {
		if (!wants.egress.has(egress.key)) commands.push({ kind: "close-egress", egress });
	}
	for (const { ifindex } of links) {
		if (open.shards.has(ifindex) && !wants.shards.has(ifindex))
			commands.push({ kind: "close-shards", ifindex });
	}
	for (const drain of open.drains.values()) {
		if (!wants.drains.has(drain.key)) commands.push({ kind: "close-drain", drain });
	}
	return commands;
}

function stateOf(verdict: Verdict, observed: Observed, tableFailure: string | undefined): RuleState {
	const { name } = verdict;
	const failed = verdict.failed ?? tableFailure;
	if (failed !== undefined) return { name, state: "FAILED", reason: failed };
	if (verdict.pending !== undefined) return { name, state: "PENDING", reason: verdict.pending };
	if (observed.workersDown || !observed.open.tableInForce) {
		return { name, state: "PENDING", reason: "no worker is running" };
	}
	return { name, state: "ACTIVE", reason: "" };
}

function nextRetry({ open, nowMs }: Observed, wanted: ReadonlySet<string>): number | undefined {
	let next: number | undefined;
	for (const [key, { retryAtMs }] of open.failures) {
		if (!wanted.has(key) || retryAtMs <= nowMs) continue;
		next = next === undefined ? retryAtMs : Math.min(next, retryAtMs);
	}
	return next;
}
