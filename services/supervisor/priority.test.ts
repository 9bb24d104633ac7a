import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { resolve } from "node:path";
import type { Priority } from "@sluice/lib/priorities";

const asRoot = test.skipIf(process.getuid?.() !== 0);
const folder = mkdtempSync("/tmp/sluice-priority-test-");
const running: Bun.Subprocess[] = [];

afterAll(() => {
	for (const child of running) child.kill();
	rmSync(folder, { recursive: true });
});

for (const name of ["sluice-packets", "bun"]) symlinkSync(Bun.which("sleep") ?? "", `${folder}/${name}`);

/** A process with one thread, which is called as the program is. */
function sleeper(name: "sluice-packets" | "bun"): number {
	const child = Bun.spawn([`${folder}/${name}`, "60"]);
	running.push(child);
	return child.pid;
}

/** "SCHEDULE NICE": proc(5), fields 41 and 19. */
function scheduleOf(pid: number): string {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
	const policies: Readonly<Record<string, string>> = { "0": "normal", "2": "round-robin" };
	return `${policies[fields[38] ?? ""]} ${fields[16]}`;
}

/** In a process that may be given fewer rights; answers what it logged. */
async function raise(priority: Priority, pids: readonly number[], drop: string): Promise<string[]> {
	const script = `
		import { createLogger } from "@sluice/lib/log";
		import { WorkerPriority } from "${resolve(import.meta.dir, "priority.ts")}";
		const destination = { write: (line) => void process.stdout.write(line) };
		const log = createLogger({ service: "test", destination }).facility("workers");
		const priority = new WorkerPriority("${priority}", log);
		for (const pid of [${pids.join(", ")}]) priority.raise(pid);
	`;
	const rights = ["setpriv", `--bounding-set=${drop}`, "--inh-caps=-all"];
	const child = Bun.spawn([...rights, process.execPath, "-e", script], { cwd: import.meta.dir });
	const lines = (await child.stdout.text()).trim();
	expect(await child.exited).toBe(0);
	return lines.split("\n").filter(Boolean);
}

asRoot("the packet thread is real-time where that is chosen, and nothing else is", async () => {
	const [packets, other, nice] = [sleeper("sluice-packets"), sleeper("bun"), sleeper("sluice-packets")];
	expect(await raise("realtime", [packets, other], "+sys_nice")).toEqual([]);
	expect(await raise("nice", [nice], "+sys_nice")).toEqual([]);
	expect([packets, other, nice].map(scheduleOf)).toEqual(["round-robin -10", "normal -10", "normal -10"]);
});

asRoot("without the right to do so it says once what to do, and goes on", async () => {
	const workers = [sleeper("sluice-packets"), sleeper("sluice-packets")];
	const said = await raise("realtime", workers, "-sys_nice");
	expect(said).toHaveLength(1);
	expect(said[0]).toContain('"level":"warn"');
	expect(said[0]).toContain("(EPERM)): give the supervisor CAP_SYS_NICE, and its control group");
	expect(workers.map(scheduleOf)).toEqual(["normal 0", "normal 0"]);
});
