import { expect, test } from "bun:test";
import { type CounterBlock, CounterBlocks } from "./counter-blocks.ts";

/** What was zeroed for whoever comes next. */
function recycled(blocks: CounterBlocks): CounterBlock[] {
	const zeroed: CounterBlock[] = [];
	blocks.recycle((block) => zeroed.push(block));
	return zeroed;
}

test("a successor retires again what was retired and not recycled", () => {
	const blocks = new CounterBlocks(1024, 64);
	for (const owner of ["a", "b"]) blocks.assign(owner, 16);
	blocks.retire(new Set(["b"]));
	const successor = new CounterBlocks(1024, 64);
	successor.adopt(blocks.layout());
	expect(successor.assign("a", 16)).toBe(96);
	successor.retire(new Set(["a", "b"]));
	expect(recycled(successor)).toEqual([{ index: 64, count: 16 }]);
});

test("blocks are cache-line aligned, apart from each other, and never in the worker's own", () => {
	const blocks = new CounterBlocks(1024, 64);
	expect(["a", "b", "c"].map((owner) => blocks.assign(owner, 16))).toEqual([64, 80, 96]);
	expect(blocks.assign("d", 5)).toBe(112);
	expect(blocks.assign("e", 8)).toBe(120);
});

test("an owner keeps its block", () => {
	const blocks = new CounterBlocks(1024, 64);
	const index = blocks.assign("a", 16);
	blocks.assign("b", 16);
	blocks.retire(new Set(["a"]));
	expect(blocks.assign("a", 16)).toBe(index);
	expect(recycled(blocks)).toEqual([{ index: 80, count: 16 }]);
	expect(recycled(blocks)).toEqual([]);
});

test("a retired block is nobody's until it is recycled, then the next owner's", () => {
	const blocks = new CounterBlocks(1024, 64);
	blocks.assign("a", 16);
	blocks.retire(new Set());
	expect(blocks.assign("b", 16)).toBe(80);
	recycled(blocks);
	expect(blocks.assign("c", 16)).toBe(64);
	expect(blocks.assign("d", 16)).toBe(96);
});

test("an owner that comes back after its block was retired starts in another one", () => {
	const blocks = new CounterBlocks(1024, 64);
	blocks.assign("a", 16);
	blocks.retire(new Set());
	expect(blocks.assign("a", 16)).toBe(80);
});

test("a block is recycled for the same size only", () => {
	const blocks = new CounterBlocks(1024, 64);
	blocks.assign("a", 16);
	blocks.retire(new Set());
	recycled(blocks);
	expect(blocks.assign("b", 8)).toBe(80);
	expect(blocks.assign("c", 16)).toBe(64);
});

test("used-up memory is said, and recycled blocks are used then", () => {
	const blocks = new CounterBlocks(96, 64);
	blocks.assign("a", 16);
	blocks.assign("b", 16);
	expect(blocks.assign("c", 16)).toBeUndefined();
	blocks.retire(new Set(["b"]));
	recycled(blocks);
	expect(blocks.assign("c", 16)).toBe(64);
});
