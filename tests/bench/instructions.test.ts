// Instructions, which waver neither with the machine nor with what else it does: a path that became longer
// shows here first. The bounds leave a fifth to other compilers.

import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { run } from "../netns/lab/commands.ts";

const PROGRAMS = resolve(import.meta.dir, "../../build/bench");
/** As bench.h runs them: once to warm up, then so many rounds. */
const RUNS = 16;

interface Path {
	readonly program: string;
	/** What its name begins with. */
	readonly what: string;
	/** Operations of the shorter and of the longer of two runs; what is done once cancels out. */
	readonly operations: readonly [number, number];
	/** Instructions for each … */
	readonly most: number;
	readonly of: "frame" | "question" | "rule";
}

const FEW = [1_000, 11_000] as const;
/** Of 10,000 rules each: one swap, and five. */
const SWAPS = [10_000, 50_000] as const;

const PATHS: readonly Path[] = [
	{
		...{ program: "parse_bench", what: "parse, 1400 bytes, checksum vouched for" },
		...{ operations: FEW, most: 190, of: "frame" },
	},
	{
		...{ program: "parse_bench", what: "parse, 64 bytes, checksum verified" },
		...{ operations: FEW, most: 320, of: "frame" },
	},
	{
		...{ program: "lookup_bench", what: "lookup, 10,000 rules, any source" },
		...{ operations: FEW, most: 44, of: "question" },
	},
	{
		...{ program: "lookup_bench", what: "lookup, 10,000 rules, one source each" },
		...{ operations: FEW, most: 90, of: "question" },
	},
	{
		...{ program: "swap_bench", what: "swap, 10,000 rules, any source" },
		...{ operations: SWAPS, most: 68, of: "rule" },
	},
	{
		...{ program: "swap_bench", what: "swap, 10,000 rules, one source each" },
		...{ operations: SWAPS, most: 111, of: "rule" },
	},
];

async function instructions(path: Path, operations: number, folder: string): Promise<number> {
	const file = join(folder, "callgrind.out");
	const outcome = await run(
		[
			...["env", `BENCH_OPERATIONS=${operations}`, `BENCH_ONLY=${path.what}`],
			...["valgrind", "--tool=callgrind", `--callgrind-out-file=${file}`, join(PROGRAMS, path.program)],
		],
		{ timeoutMs: 60_000 },
	);
	expect({ code: outcome.code, said: outcome.stdout }).toEqual({
		code: 0,
		said: expect.stringContaining(path.what),
	});
	return Number(/^(?:summary|totals): (\d+)$/m.exec(readFileSync(file, "utf8"))?.[1]);
}

function whyNot(): string | undefined {
	if (process.arch !== "x64") return "the bounds are those of x86-64";
	return Bun.which("valgrind") === null ? "valgrind is not installed" : undefined;
}

const reason = whyNot();
if (reason !== undefined) console.log(`skipped: ${reason}`);

for (const path of PATHS) {
	test.skipIf(reason !== undefined)(
		`${path.what}: at most ${path.most} instructions for each ${path.of}`,
		async () => {
			const folder = mkdtempSync("/tmp/sluice-instructions-");
			try {
				const [few, many] = path.operations;
				const more = (await instructions(path, many, folder)) - (await instructions(path, few, folder));
				const each = more / (RUNS * (many - few));
				expect(each).toBeGreaterThan(path.most / 2);
				expect(each).toBeLessThanOrEqual(path.most);
			} finally {
				rmSync(folder, { recursive: true });
			}
		},
		120_000,
	);
}
