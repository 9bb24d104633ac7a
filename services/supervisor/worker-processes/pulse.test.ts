import { expect, test } from "bun:test";
import { isStoppedProcess, Pulse } from "./pulse.ts";

const running = () => false;

test("a heart that beats now and then is fine for ever", () => {
	const pulse = new Pulse();
	for (let beat = 0n; beat < 100n; beat += 1n) {
		for (let look = 0; look < 39; look += 1) expect(pulse.look(beat, running)).toBeUndefined();
	}
});

test("one that stands still for forty looks hangs", () => {
	const pulse = new Pulse();
	for (let look = 0; look < 40; look += 1) expect(pulse.look(7n, running)).toBeUndefined();
	expect(pulse.look(7n, running)).toBe("its packet thread stands still");
});

test("a stopped process hangs at the first beat it misses, and is not asked about before", () => {
	const pulse = new Pulse();
	let asked = 0;
	const stopped = () => {
		asked += 1;
		return true;
	};
	expect(pulse.look(7n, stopped)).toBeUndefined();
	expect(pulse.look(8n, stopped)).toBeUndefined();
	expect(asked).toBe(0);
	expect(pulse.look(8n, stopped)).toBe("it was stopped");
});

test("a stopped process is told from one that sleeps and one that is gone", async () => {
	const child = Bun.spawn(["sleep", "60"]);
	expect(isStoppedProcess(child.pid)).toBe(false);
	child.kill("SIGSTOP");
	const deadline = performance.now() + 10_000;
	while (!isStoppedProcess(child.pid) && performance.now() < deadline) await Bun.sleep(2);
	expect(isStoppedProcess(child.pid)).toBe(true);
	child.kill("SIGKILL");
	await child.exited;
	expect(isStoppedProcess(child.pid)).toBe(false);
});
