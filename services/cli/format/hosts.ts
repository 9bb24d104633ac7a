import { formatLabels } from "@sluice/lib/labels";
import { HOST_GONE_SECONDS } from "@sluice/lib/rule-status";
import type { Host, Interface } from "@sluice/proto/gen/host";
import { type Worker, Worker_State } from "@sluice/proto/gen/worker";
import { type Colors, oneLine } from "../terminal.ts";
import { formatBytes, formatDuration, NO_FIGURE } from "./figures.ts";
import { formatTable } from "./table.ts";

export function formatHosts(hosts: Host[], colors: Colors, limit?: number): string {
	if (hosts.length === 0) return "no host is known yet: start one with sudo ./sluice up\n";
	const held = hosts.filter(({ holding }) => holding !== "");
	const table = formatTable(
		[
			{ heading: "HOST" },
			{ heading: "INTERFACES", wraps: true },
			{ heading: "LABELS", wraps: true },
			{ heading: "CORES", align: "right" },
			{ heading: "IDLE" },
			{ heading: "PRIORITY" },
			{ heading: "RINGS", align: "right" },
			{ heading: "SEEN", align: "right" },
			{ heading: "VERSION" },
			{ heading: "PROTOCOL", align: "right" },
			{ heading: "KERNEL" },
		],
		hosts.map((host) => [
			host.host,
			formatInterfaces(host.interfaces),
			formatLabels(host.labels) || NO_FIGURE,
			host.cores === 0 ? NO_FIGURE : String(host.cores),
			host.idle || NO_FIGURE,
			host.priority || NO_FIGURE,
			formatBytes(host.ringBytes),
			formatSeen(host, colors),
			host.version || NO_FIGURE,
			host.protocolVersion === 0 ? NO_FIGURE : String(host.protocolVersion),
			host.kernel || NO_FIGURE,
		]),
		colors,
		limit,
	);
	const holds = held
		.map(({ host, holding }) => `${host} ${colors.red("holds")}: ${oneLine(holding)}\n`)
		.join("");
	return `${table}${holds}\n${formatInterfaceTable(hosts, colors, limit)}`;
}

function formatSeen({ lastSeenSeconds, stopped }: Host, colors: Colors): string {
	const ago = `${formatDuration(lastSeenSeconds)} ago`;
	if (stopped) return colors.yellow(`stopped, ${ago}`);
	return lastSeenSeconds > HOST_GONE_SECONDS ? colors.red(`gone, ${ago}`) : ago;
}

function formatInterfaceTable(hosts: Host[], colors: Colors, limit?: number): string {
	const rows = hosts.flatMap(({ host, interfaces }) =>
		interfaces
			.filter((entry) => !entry.loopback)
			.map((entry, index) => [
				index === 0 ? host : "",
				entry.name,
				entry.up ? "up" : colors.yellow("down"),
				entry.addresses.join(", ") || NO_FIGURE,
				String(entry.mtu),
				entry.driver || NO_FIGURE,
			]),
	);
	return formatTable(
		[
			{ heading: "HOST" },
			{ heading: "INTERFACE" },
			{ heading: "STATE" },
			{ heading: "ADDRESSES", wraps: true },
			{ heading: "MTU", align: "right" },
			{ heading: "DRIVER" },
		],
		rows,
		colors,
		limit,
	);
}

/** Without the loopback: no rule names it. */
function formatInterfaces(interfaces: Interface[]): string {
	const names = interfaces
		.filter((entry) => !entry.loopback)
		.map((entry) => (entry.up ? entry.name : `${entry.name} (down)`));
	return names.length === 0 ? NO_FIGURE : names.join(", ");
}

export function formatWorkers(workers: Worker[], colors: Colors, limit?: number): string {
	if (workers.length === 0) return "no worker is known yet: start a host with sudo ./sluice up\n";
	return formatTable(
		[
			{ heading: "HOST" },
			{ heading: "WORKER", align: "right" },
			{ heading: "CORE", align: "right" },
			{ heading: "PID", align: "right" },
			{ heading: "STATE" },
			{ heading: "RESTARTS", align: "right" },
			{ heading: "LAST EXIT", wraps: true },
		],
		workers.map((worker) => [
			worker.host,
			String(worker.worker),
			String(worker.core),
			worker.pid === 0 ? NO_FIGURE : String(worker.pid),
			colorState(worker.state, colors),
			String(worker.restarts),
			worker.lastExit || NO_FIGURE,
		]),
		colors,
		limit,
	);
}

function colorState(state: Worker_State, colors: Colors): string {
	const name = Worker_State[state] ?? String(state);
	if (state === Worker_State.RUNNING) return colors.green(name);
	return state === Worker_State.FAILED ? colors.red(name) : colors.yellow(name);
}
