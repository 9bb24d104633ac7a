import { DataplaneError, errnoCode } from "@sluice/dataplane/errors";
import type { Command } from "../reconcile/types.ts";
import { CommandRefused } from "../worker-processes/worker-channel.ts";

const MORE_FILES = ": raise the limit of open files (ulimit -n), and start up anew";

/** One line for the rule's state: what was refused, why, and what to do where that is known. */
export function describeRefusal(command: Command, thrown: unknown): string {
	if (thrown instanceof CommandRefused) {
		const code = errnoCode(thrown.errno);
		return `${subjectOf(command)}: the worker refused (${code})${code === "EMFILE" ? MORE_FILES : ""}`;
	}
	if (thrown instanceof DataplaneError) {
		return `${subjectOf(command)}: ${thrown.message}${advice(command, thrown.code)}`;
	}
	return `${subjectOf(command)}: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
}

function subjectOf(command: Command): string {
	switch (command.kind) {
		case "open-shards":
			return `capture on ${command.link.name}`;
		case "open-egress":
			return `source port ${command.egress.sourcePort}`;
		case "open-drain":
			return `input port ${command.drain.port}`;
		case "add-destination":
			return "capture filter";
		case "install-table":
			return "table";
		default:
			return command.kind;
	}
}

function advice(command: Command, code: string): string {
	if (code === "EPERM") return ": the supervisor needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF";
	if (code === "EMFILE") return MORE_FILES;
	// What bind() says of a port below 1024.
	if (code === "EACCES" && (command.kind === "open-egress" || command.kind === "open-drain"))
		return ": the supervisor needs CAP_NET_BIND_SERVICE";
	if (code === "ENOMEM" && command.kind === "open-shards") return ": lower --ring-memory";
	if (code === "E2BIG" && command.kind === "add-destination") return ": too many groups on one interface";
	return "";
}
