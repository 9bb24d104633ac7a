import { expect, test } from "bun:test";
import { resolve } from "node:path";

const SOAK = resolve(import.meta.dir, "main.ts");
const LIMIT_MS = 9 * 60_000;

test(
	"five minutes of load and disturbances: every datagram accounted for, nothing grows",
	async () => {
		const child = Bun.spawn([process.execPath, SOAK, "--minutes", "5"], {
			stdio: ["ignore", "pipe", "inherit"],
		});
		const said = await child.stdout.text();
		// The seed first, whatever became of it.
		console.log(said);
		expect(await child.exited).toBe(0);
		expect(said).toMatch(/^soak: seed \d+, 5 minutes\nok {4}round {2}1\/12: /);
		expect(said).toMatch(/\nsoak: everything adds up; repeat with .* --minutes 5 --seed \d+\n$/);
	},
	LIMIT_MS,
);
