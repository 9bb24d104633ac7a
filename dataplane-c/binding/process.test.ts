import { expect, test } from "bun:test";
import { release } from "node:os";
import { exitStatus, hasEnded, openProcess } from "./process.ts";
import { closeDescriptor } from "./supervisor.ts";

const KERNEL_TELLS = Bun.semver.satisfies(release().split("-")[0] ?? "", ">=6.15.0");

test.skipIf(!KERNEL_TELLS)(
	"a descriptor tells how its process ended, once its parent has waited",
	async () => {
		for (const [command, status] of [
			["read -r _; exit 7", 7 << 8],
			["read -r _; kill -SEGV $$", 11],
		] as const) {
			const child = Bun.spawn(["sh", "-c", command], { stdio: ["pipe", "ignore", "ignore"] });
			const fd = openProcess(child.pid) ?? -1;
			expect([hasEnded(fd), exitStatus(fd)]).toEqual([false, "pending"]);
			child.stdin.end();
			await child.exited;
			expect(hasEnded(fd)).toBeTrue();
			// A dump may have been made.
			expect(Number(exitStatus(fd)) & ~0x80).toBe(status);
			closeDescriptor(fd);
		}
	},
);
