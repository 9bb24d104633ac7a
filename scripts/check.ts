// `bun run check`: every check, its output where it fails.

import { checks } from "./checks.ts";

let failed = 0;
for (const check of checks) {
	if (check.needs !== undefined && Bun.which(check.needs) === null) {
		console.log(`skip  ${check.name}: ${check.needs} is not installed`);
		continue;
	}
	const { passed, output } = await check.run();
	if (!passed) failed += 1;
	console.log(`${passed ? "ok  " : "FAIL"}  ${check.name}`);
	if (!passed) console.log(output);
}
process.exit(failed === 0 ? 0 : 1);
