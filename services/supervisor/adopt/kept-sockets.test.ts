import { expect, test } from "bun:test";
import { NOTHING_KEPT } from "./keeping.ts";
import { KeptSockets } from "./kept-sockets.ts";

test("the keeper gets so many drains and no more, and others in place of those that are closed", () => {
	let opened = 100;
	const kept = new Set<string>();
	const kernel = {
		openMembership: () => ++opened,
		openDrain: () => ++opened,
		closeDescriptor: () => {},
	};
	const keeping = {
		...NOTHING_KEPT,
		keep: (name: string) => void kept.add(name),
		release: (name: string) => void kept.delete(name),
	};
	const sockets = new KeptSockets(kernel, keeping, 0);
	const drains = Array.from({ length: 600 }, (_, port) => sockets.openDrain(3, 0x0a000001, port));
	expect(kept.size).toBe(512);
	sockets.openMembership();
	expect(kept.size).toBe(513);
	for (const fd of drains.slice(0, 10)) sockets.closeDescriptor(fd ?? 0);
	for (const fd of drains.slice(590)) sockets.closeDescriptor(fd ?? 0);
	expect(kept.size).toBe(503);
	for (let port = 700; port < 800; port += 1) sockets.openDrain(3, 0x0a000001, port);
	expect(kept.size).toBe(513);
});
