import { existsSync } from "node:fs";
import { join } from "node:path";
import { CommandFailure, exitCodes } from "./failure.ts";

/** Where programs and bundles lie: this bundle's own folder, or build/ when running from source. */
const places = [import.meta.dir, join(import.meta.dir, "..", "..", "build")];

/** Path of a file of the build. @throws CommandFailure when there is none. */
export function besideBundle(name: string): string {
	const found = places.map((place) => join(place, name)).find((path) => existsSync(path));
	if (found !== undefined) return found;
	throw new CommandFailure(exitCodes.failed, `${name} is not built: run ./sluice once, or bun run build`);
}
