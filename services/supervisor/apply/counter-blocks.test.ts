import { expect, test } from "bun:test";
import { CounterBlocks } from "./counter-blocks.ts";

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
	expect(blocks.retire(new Set(["a"]))).toEqual([{ index: 80, count: 16 }]);
	expect(blocks.assign("a", 16)).toBe(index);
});

test("a retired block is nobody's until it is recycled, then the next owner's", () => {
	const blocks = new CounterBlocks(1024, 64);
	blocks.assign("a", 16);
	const retired = blocks.retire(new Set());
	expect(blocks.assign("b", 16)).toBe(80);
	blocks.recycle(retired);
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
	blocks.recycle(blocks.retire(new Set()));
	expect(blocks.assign("b", 8)).toBe(80);
	expect(blocks.assign("c", 16)).toBe(64);
});

test("used-up memory is said, and recycled blocks are used then", () => {
	const blocks = new CounterBlocks(96, 64);
	blocks.assign("a", 16);
	blocks.assign("b", 16);
	expect(blocks.assign("c", 16)).toBeUndefined();
	blocks.recycle(blocks.retire(new Set(["b"])));
	expect(blocks.assign("c", 16)).toBe(64);
});
