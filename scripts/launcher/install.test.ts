// What the launcher says and does while it installs, with an apt-get of the test's own.

import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bareSystem, freshCheckout, launch, withApt } from "./testing/lab.ts";

test("a system without apt is told what it lacks", async () => {
	const root = await freshCheckout("no-apt");
	const bin = await bareSystem("no-apt-bin");
	const { exitCode, stdout, stderr } = launch(["rule", "list"], { root, env: { PATH: bin } });
	expect(exitCode).toBe(1);
	expect(stdout).toBe("");
	expect(stderr).toMatch(/^sluice: this system has no apt, and lacks .*gcc.*: install .*\n$/);
});

test.skipIf(process.getuid?.() !== 0)(
	"what apt has begun it ends, and then the launcher",
	async () => {
		const root = await freshCheckout("interrupted");
		// dpkg takes SIGINT, whatever apt makes of it.
		const dpkg = "touch begun; until [ -e go ]; do sleep 0.05; done; touch ended; exit 1";
		const install = `case "$*" in *" install "*) exec env --default-signal=INT sh -c '${dpkg}';; esac`;
		const { bin, env, installs } = await withApt("interrupted-bin", install);
		const launched = Bun.spawn([join(root, "sluice"), "rule", "list"], {
			env: { ...process.env, ...env },
			stdio: ["ignore", "ignore", "pipe"],
			detached: true,
		});
		let said = "";
		const reading = (async () => {
			for await (const bytes of launched.stderr) {
				said += new TextDecoder().decode(bytes);
				if (said.includes("once apt has ended")) await writeFile(join(bin, "go"), "");
			}
		})();
		while (!(await Bun.file(join(bin, "begun")).exists())) await Bun.sleep(10);
		// As a terminal does: to all of the group.
		process.kill(-launched.pid, "SIGINT");
		await reading;
		expect(await launched.exited).toBe(1);
		expect(said).toEndWith("run it again, and it goes on where it stopped\n");
		expect(await Bun.file(join(bin, "ended")).exists()).toBe(true);
		expect(await installs()).toBe(1);
	},
	60_000,
);

test.skipIf(process.getuid?.() !== 0)("what a step complains of comes with what mends it", async () => {
	const mended = "run dpkg --configure -a; apt-get --fix-broken install, then the command again";
	const own =
		"the package registry's certificate, or a proxy's before it, is not known here, and sudo drops the variables " +
		"that name yours: run sudo --preserve-env=NODE_EXTRA_CA_CERTS,https_proxy,HTTPS_PROXY ./sluice rule";
	for (const [name, line, says] of [
		["unmet", "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages.", mended],
		// As bun spells it.
		["own-ca", "error: failed to download zod: SELF_SIGNED_CERT_IN_CHAIN", own],
		["half-done", "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'", mended],
	] as const) {
		const root = await freshCheckout(name);
		const { env } = await withApt(`${name}-bin`, `echo "${line}"; exit 100`);
		const { exitCode, stderr } = launch(["rule", "list"], { root, env });
		expect(exitCode).toBe(1);
		expect(stderr).toEndWith(` failed (${line}): ${says}\n`);
	}
});

test.skipIf(process.getuid?.() !== 0)("a long complaint is cut between words, addresses first", async () => {
	const root = await freshCheckout("long");
	const words = "many words ".repeat(20);
	const { env } = await withApt(
		"long-bin",
		`echo "E: Failed to fetch http://mirror.invalid/debian/pool/main/g/gcc.deb  ${words}"; exit 100`,
	);
	const { stderr } = launch(["rule", "list"], { root, env });
	const cause = stderr.match(/ failed \((.*)\): /)?.[1] ?? "";
	expect(cause).toMatch(/^E: Failed to fetch http:\/\/mirror\.invalid\/…\/gcc\.deb( many| words)+ …$/);
	expect(cause.length).toBeWithin(145, 162);
});

test.skipIf(process.getuid?.() !== 0)(
	"without a network apt is asked once, and each package once",
	async () => {
		const root = await freshCheckout("no-network");
		const line =
			"W: Failed to fetch http://mirror.invalid/pool/g.deb  Temporary failure resolving 'mirror.invalid'";
		const { bin, env, installs } = await withApt("no-network-bin", `echo "${line}"; exit 100`);
		// Where package lists are; without any there is no second try.
		const { stderr } = launch(["rule", "list"], { root, env });
		expect(stderr).toContain("the package registry was not reached: check the network");
		expect(await installs()).toBe(1);
		const asked = await Bun.file(join(bin, "asked")).text();
		if (!asked.includes("update")) expect(asked).toContain("Acquire::Retries=0");
	},
);

test("what shows progress on a terminal does not hold the lock", async () => {
	const root = await freshCheckout("terminal");
	const script = `
		root=${root} tools=${root}/.tools; mkdir -p $tools/log; touch $tools/lock
		source $root/scripts/launcher/steps.sh; find_owner
		exec {lock}<$tools/lock; flock $lock
		step name what eval 'until pgrep -P "$ticker" -x sleep; do :; done'
		exec {lock}<&-
		flock --nonblock $tools/lock echo free || echo held`;
	const file = join(root, "script.sh");
	await writeFile(file, script);
	const { stdout } = Bun.spawnSync(["script", "-qec", `bash ${file}`, "/dev/null"], {
		env: { ...process.env, TERM: "dumb" },
	});
	expect(`${stdout}`.trimEnd()).toEndWith("free");
}, 60_000);
