import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import { createMemory } from "@sluice/dataplane/descriptor-store";
import { type Notes, NotesMemory } from "./notes.ts";

let fds: number[] = [];

beforeEach(() => {
	fds = [createMemory(), createMemory()];
});

afterEach(() => {
	for (const fd of fds) closeSync(fd);
});

function notesOf(generation: string): Notes {
	return {
		incarnation: "1790000000000",
		abiVersion: 1,
		generation,
		fingerprint: "f00d",
		egress: [{ key: "egress/2/6001/0", ifindex: 2, sourcePort: 6001, bindAddress: 0, slot: 5 }],
		blocks: { next: 96, owned: [["rule/a", 64, 16]], free: [[8, [80, 88]]] },
		interfaces: ["interface/r0"],
	};
}

test("a successor reads what was written last", () => {
	const memory = new NotesMemory(fds);
	expect(memory.read()).toBeUndefined();
	for (const generation of ["1", "22", "333"]) {
		memory.write(notesOf(generation));
		expect(new NotesMemory(fds).read()).toEqual(notesOf(generation));
	}
	const successor = new NotesMemory(fds);
	successor.write(notesOf("4"));
	expect(new NotesMemory(fds).read()).toEqual(notesOf("4"));
});

test("what was being written when its writer died is not read, but what was before it", () => {
	const memory = new NotesMemory(fds);
	memory.write(notesOf("1"));
	memory.write(notesOf("2"));
	// The second one went into the first memory.
	writeSync(fds[0] ?? -1, Buffer.from("x"), 0, 1, 40);
	expect(new NotesMemory(fds).read()).toEqual(notesOf("1"));
	writeSync(fds[1] ?? -1, new Uint8Array(16), 0, 16, 0);
	expect(new NotesMemory(fds).read()).toBeUndefined();
});
