import { expect, test } from "bun:test";
import { join } from "node:path";

/** Loads the library in a process of its own; what it says. */
async function load(environment: Record<string, string>): Promise<string> {
	const script = `
		import { probeFeatures } from ${JSON.stringify(join(import.meta.dir, "host.ts"))};
		try { console.log(probeFeatures().kernelMajor >= 5 ? "loaded" : "odd"); }
		catch (error) { console.log(error.message); }`;
	const job = Bun.spawn([process.execPath, "--no-install", "-e", script], {
		env: { ...process.env, ...environment },
		stdio: ["ignore", "pipe", "inherit"],
	});
	return (await new Response(job.stdout).text()).trim();
}

test("the library of the checkout is found without being told", async () => {
	expect(await load({ SLUICE_LIB: "" })).toBe("loaded");
});

test("a missing library is one line that says where it was looked for", async () => {
	expect(await load({ SLUICE_LIB: "/nowhere/libsluice.so" })).toBe(
		"libsluice.so is not there: looked for /nowhere/libsluice.so",
	);
});

test("what is no library is one line that names it", async () => {
	expect(await load({ SLUICE_LIB: "/etc/passwd" })).toStartWith("/etc/passwd can't be loaded: ");
});
