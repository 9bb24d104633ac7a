import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

const ROOT = `${import.meta.dir}/../..`;
const files = ["compose.yaml", "compose.relay.yaml"].map((name) => readFileSync(`${ROOT}/${name}`, "utf8"));
const dockerfile = readFileSync(`${ROOT}/Dockerfile`, "utf8");

test("each capability that a compose file gives has a comment that says what for", () => {
	const blocks = files.flatMap((text) => [...text.matchAll(/^ {4}cap_add:\n((?: {6}.*\n)+)/gm)]);
	const lines = blocks.flatMap(([, block = ""]) => block.trimEnd().split("\n"));
	expect(lines.length).toBeGreaterThanOrEqual(12);
	for (const line of lines) expect(line).toMatch(/^ {6}- [A-Z_]+ # \w.{10,}/);
	// And in no other way.
	expect(files.join("\n").match(/cap_add/g)).toHaveLength(blocks.length);
	expect(files.join("\n")).not.toContain("privileged:");
});

test("every image has its version", () => {
	const images = files.flatMap((text) => [...text.matchAll(/^ *image: (.*)$/gm)].map(([, image]) => image));
	const named = [...dockerfile.matchAll(/^ARG \w+_IMAGE=(.*)$/gm)].map(([, image]) => image);
	expect([images.length, named.length]).toEqual([2, 2]);
	for (const image of [...images, ...named]) expect(image).toMatch(/^[\w/]+:\d+\.\d+[\w.-]*$/);
	const stages = [...dockerfile.matchAll(/^FROM \$\{(\w+)\}(.*)$/gm)].map(([, image, as]) => `${image}${as}`);
	expect(stages).toEqual(["BUN_IMAGE AS bun", "DEBIAN_IMAGE AS build", "DEBIAN_IMAGE"]);
	expect(dockerfile.match(/^FROM/gm)).toHaveLength(stages.length);
	expect(readFileSync(`${ROOT}/package.json`, "utf8")).toContain(
		`"version": "${images.find((image) => image?.startsWith("sluice:"))?.slice("sluice:".length)}"`,
	);
});
