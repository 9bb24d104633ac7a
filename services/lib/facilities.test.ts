import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import { facilities, facilitiesOf, type ServiceName, serviceNames } from "./facilities.ts";

const services = resolve(import.meta.dir, "..");

/** Whose logger the file writes to; what lib logs, every service that follows a bucket does. */
function serviceOf(path: string): ServiceName | undefined {
	if (path.startsWith("supervisor/worker/")) return "worker";
	return serviceNames.find((name) => path.startsWith(`${name}/`));
}

test("every facility that a service logs under is listed as one of its own", async () => {
	const used = new Map<ServiceName, Set<string>>(serviceNames.map((name) => [name, new Set()]));
	for await (const path of new Glob("**/*.ts").scan({ cwd: services })) {
		const service = serviceOf(path);
		if (service === undefined || path.includes("node_modules/") || path.includes(".test.ts")) continue;
		if (path.includes("testing/")) continue;
		const text = await Bun.file(join(services, path)).text();
		for (const [, name = ""] of text.matchAll(/\bfacility\("([^"]*)"\)/g)) used.get(service)?.add(name);
	}
	for (const name of serviceNames) {
		expect([name, Array.from(used.get(name) ?? []).filter((each) => !isListed(name, each))]).toEqual([
			name,
			[],
		]);
		expect(used.get(name)?.size).toBeGreaterThan(1);
	}
});

function isListed(service: ServiceName, facility: string): boolean {
	return (facilities[service] as readonly string[]).includes(facility);
}

test("without a service there are the facilities of all, once each", () => {
	const all = facilitiesOf("") ?? [];
	expect(all).toContain("capture");
	expect(all).toContain("query");
	expect(all.filter((name) => name === "main")).toHaveLength(1);
	expect(facilitiesOf("toString")).toBeUndefined();
});
