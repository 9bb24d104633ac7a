import { writeFileSync } from "node:fs";

const ROOT = `${import.meta.dir}/../../..`;

/** The `nats` command line tool, or null where it is not installed; says so then. */
export const NATS = Bun.which("nats");
if (NATS === null)
	console.log(
		"skipped: the nats tool is not installed here: go install github.com/nats-io/natscli/nats@latest brings it",
	);

interface Tool {
	readonly tool: string;
	/** A PATH on which `nats` is this one; null: it is not to be had. */
	readonly path: string | null;
}

/** The tool itself, and what stands in for it (docs/adr/0103). @param folder where that may be written */
export function natsTools(folder: string): Tool[] {
	const program = `exec "${ROOT}/.tools/bin/bun" "${import.meta.dir}/nats-tool.ts" "$@"`;
	writeFileSync(`${folder}/nats`, `#!/bin/sh\n${program}\n`, { mode: 0o755 });
	const path = process.env["PATH"] ?? "";
	return [
		{ tool: "the nats tool", path: NATS === null ? null : path },
		{ tool: "what stands in for the nats tool", path: `${folder}:${path}` },
	];
}
