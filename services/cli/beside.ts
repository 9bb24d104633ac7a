import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { CommandFailure, exitCodes } from "./failure.ts";

/**
 * Where programs and bundles lie: the running bundle's own folder, or build/ when running from
 * source. What import.meta knows is of the time at which a compiled bundle was built, when it may
 * have lain elsewhere.
 */
const places = [dirname(Bun.main), join(import.meta.dir, "..", "..", "build")];

/** Path of a file of the build. @throws CommandFailure when there is none. */
export function besideBundle(name: string): string {
	const found = places.map((place) => join(place, name)).find((path) => existsSync(path));
	if (found !== undefined) return found;
	throw new CommandFailure(exitCodes.failed, `${name} is not built: run ./sluice once, or bun run build`);
}
