import { type RuleStatus, type RuleStatus_HostState, RuleStatus_State } from "@sluice/proto/gen/rule";
import type { Colors } from "../terminal.ts";

/** One line per state and reason, each with its hosts: "ACTIVE on relay-a, relay-b". */
export function formatStates(status: RuleStatus, colors: Colors): string[] {
	// The API names no host when it knows none.
	if (status.hosts.length === 0)
		return [`${colorState(RuleStatus_State.PENDING, colors)}: no host is known yet`];
	const groups = Map.groupBy(status.hosts, (host) => `${host.state} ${host.reason}`);
	return Array.from(groups.values(), (hosts) => formatGroup(hosts, colors));
}

function formatGroup(hosts: RuleStatus_HostState[], colors: Colors): string {
	const [first] = hosts;
	if (!first) return "";
	const reason = first.reason === "" ? "" : `: ${first.reason}`;
	return `${colorState(first.state, colors)} on ${hosts.map((host) => host.host).join(", ")}${reason}`;
}

function colorState(state: RuleStatus_State, colors: Colors): string {
	const name = RuleStatus_State[state] ?? String(state);
	if (state === RuleStatus_State.ACTIVE) return colors.green(name);
	if (state === RuleStatus_State.FAILED) return colors.red(name);
	return colors.yellow(name);
}
