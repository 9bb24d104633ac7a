import {
	ApplyResponse_Action as Action,
	type ApplyResponse,
	type ApplyResponse_Change,
} from "@sluice/proto/gen/rule";
import type { Colors } from "../terminal.ts";

/** The diff, one line a change, and a summary; rules that stay as they are have no line. */
export function formatChanges(response: ApplyResponse, colors: Colors, { dryRun = false } = {}): string {
	const lines = response.changes.flatMap((change) => formatChange(change, colors));
	const { added, changed, removed, unchanged } = response;
	const end = dryRun ? "; dry run: nothing was written" : "";
	lines.push(`${added} added, ${changed} changed, ${removed} removed, ${unchanged} unchanged${end}`);
	return `${lines.join("\n")}\n`;
}

function formatChange(change: ApplyResponse_Change, colors: Colors): string[] {
	switch (change.action) {
		case Action.ADDED:
			return [colors.green(`+ ${change.name}`)];
		case Action.REMOVED:
			return [colors.red(`- ${change.name}`)];
		case Action.CHANGED: {
			const fields = change.fields.length === 0 ? [""] : change.fields.map((field) => `  ${field}`);
			return fields.map((field) => colors.yellow(`~ ${change.name}${field}`));
		}
		default:
			return [];
	}
}
