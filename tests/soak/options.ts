/** What `sluice soak` is told. */

export interface Options {
	readonly minutes: number;
	readonly seed: number;
}

export class BadOption extends Error {
	constructor(
		message: string,
		readonly exitCode: 1 | 2,
	) {
		super(message);
	}
}

const MINUTES_MAX = 7 * 24 * 60;
const SEED_MAX = 2 ** 32 - 1;

function wholeNumber(flag: string, text: string, least: number, most: number): number {
	const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
	if (value >= least && value <= most) return value;
	throw new BadOption(`${flag} ${text}: expected a whole number from ${least} to ${most}`, 1);
}

/** Both --flag VALUE and --flag=VALUE, as everywhere. */
export function parseOptions(argv: readonly string[], anySeed: () => number): Options {
	const given = new Map<string, string>();
	for (let index = 0; index < argv.length; index++) {
		const [flag = "", ...rest] = (argv[index] ?? "").split("=");
		if (flag !== "--minutes" && flag !== "--seed")
			throw new BadOption(`unknown option ${flag}: see ./sluice soak --help`, 2);
		const value = rest.length > 0 ? rest.join("=") : argv[++index];
		if (value === undefined)
			throw new BadOption(`option ${flag} needs a number: see ./sluice soak --help`, 2);
		if (given.has(flag)) throw new BadOption(`${flag} is given twice: give it once`, 2);
		given.set(flag, value);
	}
	return {
		minutes: wholeNumber("--minutes", given.get("--minutes") ?? "60", 1, MINUTES_MAX),
		seed: wholeNumber("--seed", given.get("--seed") ?? `${anySeed()}`, 0, SEED_MAX),
	};
}
