import { writeFileSync } from "node:fs";

const ROOT = `${import.meta.dir}/../../..`;

/** A PATH on which `nats` is what stands in for it. @param folder where it may be written */
export function natsToolPath(folder: string): string {
	const program = `exec "${ROOT}/.tools/bin/bun" "${import.meta.dir}/nats-tool.ts" "$@"`;
	writeFileSync(`${folder}/nats`, `#!/bin/sh\n${program}\n`, { mode: 0o755 });
	return `${folder}:${process.env["PATH"]}`;
}
