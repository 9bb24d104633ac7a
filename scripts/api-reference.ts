// Writes docs/api.md below its marker from the proto files: `bun run generate`. With --check it only
// says whether that was done.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { reference } from "./api-reference/reference.ts";
import { checkout } from "./owner.ts";

const DOCUMENT = join(checkout, "docs/api.md");
const MARKER = "<!-- From here on generated from proto/ with its comments: bun run generate -->\n";

/** Compiled with their comments. */
async function protoFiles() {
	const buf = [process.execPath, "--bun", join(checkout, "node_modules/.bin/buf"), "build", "-o", "-"];
	const job = Bun.spawn(buf, { cwd: join(checkout, "proto"), stdio: ["ignore", "pipe", "inherit"] });
	const image = new Uint8Array(await new Response(job.stdout).arrayBuffer());
	if ((await job.exited) !== 0) throw new Error("buf build failed");
	return createFileRegistry(fromBinary(FileDescriptorSetSchema, image)).files;
}

const before = await readFile(DOCUMENT, "utf8");
const start = before.indexOf(MARKER);
if (start < 0) throw new Error(`docs/api.md lacks its marker: ${MARKER}`);
const after = before.slice(0, start) + MARKER + reference([...(await protoFiles())]);
if (process.argv.includes("--check")) {
	if (after !== before) console.error("docs/api.md is not what the proto files say; run: bun run generate");
	process.exitCode = after === before ? 0 : 1;
} else if (after !== before) {
	await writeFile(DOCUMENT, after);
}
