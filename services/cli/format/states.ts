import { type RuleStatus, type RuleStatus_HostState, RuleStatus_State } from "@sluice/proto/gen/rule";
import { createColors } from "picocolors";
import { type Colors, oneLine } from "../terminal.ts";
import { formatCount } from "./figures.ts";

/** Rules that are named on stderr beside a JSON answer; the others are counted. */
const WAITING_LINES = 20;

/** One line per state and reason, each with its hosts: "ACTIVE on relay-a, relay-b". */
export function formatStates(status: RuleStatus, colors: Colors): string[] {
	// The API names no host when it knows none.
	if (status.hosts.length === 0)
		return [`${colorState(RuleStatus_State.PENDING, colors)}: no host is known yet`];
	const groups = Map.groupBy(status.hosts, (host) => `${host.state} ${host.reason}`);
	return Array.from(groups.values(), (hosts) => formatGroup(hosts, colors));
}

export function isActive(status: RuleStatus): boolean {
	return status.hosts.length > 0 && status.hosts.every((host) => host.state === RuleStatus_State.ACTIVE);
}

/** For stderr beside a JSON answer: one line for each rule that waits. */
export function formatWaiting(statuses: RuleStatus[]): string[] {
	const waiting = statuses.filter((status) => !isActive(status));
	const lines = waiting
		.slice(0, WAITING_LINES)
		.map((status) => `rule ${status.name}: ${formatStates(status, createColors(false)).join("; ")}`);
	const more = waiting.length - lines.length;
	if (more > 0) {
		const rules = `${formatCount(more)} more ${more === 1 ? "rule is" : "rules are"}`;
		lines.push(`${rules} not ACTIVE everywhere: see sluice rule list`);
	}
	return lines;
}

function formatGroup(hosts: RuleStatus_HostState[], colors: Colors): string {
	const [first] = hosts;
	if (!first) return "";
	const reason = first.reason === "" ? "" : `: ${oneLine(first.reason)}`;
	return `${colorState(first.state, colors)} on ${hosts.map((host) => host.host).join(", ")}${reason}`;
}

function colorState(state: RuleStatus_State, colors: Colors): string {
	const name = RuleStatus_State[state] ?? String(state);
	if (state === RuleStatus_State.ACTIVE) return colors.green(name);
	if (state === RuleStatus_State.FAILED) return colors.red(name);
	return colors.yellow(name);
}
