// The data plane on arm64, emulated: what needs no kernel of its own. qemu's user mode has no capture rings, no BPF, no
// seccomp and no robust futexes, and the memory of the machine that it runs on, which keeps stricter order than arm64's.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkout } from "../../scripts/owner.ts";
import { run } from "../netns/lab/commands.ts";
import { BUILD, build, emulate, emulatesPages, fetchBun, whyNoEmulation } from "./lab/emulation.ts";

const reason = whyNoEmulation();
if (reason !== undefined) console.log(`skipped: ${reason}`);
const bun = reason === undefined ? await fetchBun() : "";
if (bun instanceof Error) console.log(`skipped: ${bun.message}`);
const pages = reason === undefined && (await emulatesPages());
if (reason === undefined && !pages) console.log("skipped: from 9.0 on qemu emulates no other pages");

const LIBRARY = join(BUILD, "libsluice.so");
/** EM_AARCH64 in elf.h. */
const ELF_MACHINE = 183;

const NEED_ROOT = ["channel_admission", "events", "link_events"];
const PROGRAMS = [
	...[
		"endpoint",
		"frame",
		"journal",
		"memory",
		"pulse",
		"ring",
		"stream",
		"table",
		"tally",
		"worker_channel",
	],
	...(process.getuid?.() === 0 ? NEED_ROOT : []),
];
/** Of these, what lays out memory or maps it. */
const PAGED = ["memory", "ring", "stream", "table"];

const BINDING_TESTS = ["check", "errors", "events", "host", "layout", "messages", "worker"];

describe.skipIf(reason !== undefined)("arm64", () => {
	test("the data plane and its tests compile without a warning", async () => {
		const { code, stderr } = await build();
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		expect(readFileSync(LIBRARY).readUInt16LE(18)).toBe(ELF_MACHINE);
	}, 300_000);

	test.each(PROGRAMS)("%s_test passes", async (name) => {
		const { code, stderr } = await emulate([join(BUILD, `test/${name}_test`)]);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
	});

	test.skipIf(!pages).each(PAGED)("%s_test passes with pages of 64 KiB", async (name) => {
		const { code, stdout, stderr } = await emulate([join(BUILD, `test/${name}_test`)], {
			pageBytes: 65_536,
			// The loader says what the kernel told the program.
			environment: { LD_SHOW_AUXV: "1" },
		});
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		expect(stdout).toMatch(/^AT_PAGESZ: +65536$/m);
	});
});

describe.skipIf(reason !== undefined || bun instanceof Error)("arm64, with bun", () => {
	const program = String(bun);

	test("the binding's tests pass", async () => {
		const files = BINDING_TESTS.map((name) => `./dataplane-c/binding/${name}.test.ts`);
		const { code, stderr } = await emulate([program, "test", "--timeout", "120000", ...files], {
			environment: { SLUICE_LIB: LIBRARY },
			timeoutMs: 280_000,
		});
		expect(stderr).toContain("\n 0 fail\n");
		expect(code).toBe(0);
	}, 300_000);

	test("the command line says what it says here", async () => {
		const help = [
			"--no-install",
			"--no-env-file",
			"--config=/dev/null",
			join(checkout, "build/cli.js"),
			"--help",
		];
		const here = await run([process.execPath, ...help]);
		expect(await emulate([program, ...help])).toEqual(here);
		expect(here.stdout).toContain("Relays multicast");
	});
});
