import { afterEach, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createMemory } from "@sluice/dataplane/descriptor-store";
import { ABI_VERSION } from "@sluice/dataplane/layout";
import { takeFigures } from "./figures.ts";
import type { Kept } from "./names.ts";
import { NotesMemory } from "./notes.ts";

let fds: number[] = [];

afterEach(() => {
	for (const fd of fds) closeSync(fd);
	fds = [];
});

function memory(): number {
	const fd = createMemory();
	fds.push(fd);
	return fd;
}

/** As they come from the keeper: in any order. */
function given(workers: number) {
	const counters = Array.from({ length: workers }, (_, slot) => ({
		kept: { kind: "counters", slot } as Kept,
		fd: memory(),
	}));
	const notes = [0, 1].map(() => ({ kept: { kind: "notes" } as Kept, fd: memory() }));
	return [...notes, ...counters.toReversed()];
}

function write(named: ReturnType<typeof given>, incarnation: string): void {
	const notes = new NotesMemory(named.filter(({ kept }) => kept.kind === "notes").map(({ fd }) => fd));
	const blocks = { next: 64, owned: [], free: [] };
	const rest = { generation: "3", fingerprint: "f00d", egress: [], blocks, interfaces: [] };
	notes.write({ incarnation, abiVersion: ABI_VERSION, ...rest });
}

const identity = { incarnation: 17n, workers: 2 };

test("blank ones are taken, by slot, with nothing noted", () => {
	const named = given(2);
	const figures = takeFigures(named, identity);
	expect(figures?.notes).toBeUndefined();
	expect(figures?.counters).toEqual([named[3]?.fd ?? -1, named[2]?.fd ?? -1]);
	expect(figures?.fds.toSorted()).toEqual(named.map(({ fd }) => fd).toSorted());
});

test("those of this incarnation are taken with what was noted", () => {
	const named = given(2);
	write(named, "17");
	expect(takeFigures(named, identity)?.notes).toMatchObject({ generation: "3" });
});

test("those of another incarnation, or of another number of workers, are not", () => {
	const named = given(2);
	expect(takeFigures(named, { ...identity, workers: 3 })).toBeUndefined();
	expect(takeFigures(named.slice(1), identity)).toBeUndefined();
	write(named, "16");
	expect(takeFigures(named, identity)).toBeUndefined();
});
