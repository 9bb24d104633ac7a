import { expect, test } from "bun:test";
import { Child } from "./child.ts";

test("a working directory that is missing is named", async () => {
	const said: unknown[] = [];
	const log = { info() {}, error() {}, warn: (_: string, fields: unknown) => void said.push(fields) };
	const spec = { name: "nats-server", argv: ["true"], cwd: "/nowhere/nats", isReady: () => false };
	const child = new Child(spec, "relay-a", { pass() {}, record() {} }, log);
	child.start();
	await child.stop(0, Promise.resolve());
	expect(said).toEqual([expect.objectContaining({ how: "cannot be started (there is no /nowhere/nats)" })]);
});
