import { badValue } from "../failure.ts";
import { parseUint32 } from "./endpoint.ts";

/** Code points by the names that network people write: RFC 2474 (CS), 2597 (AF), 3246 (EF), 5865 and 8622. */
const codePoints: ReadonlyMap<string, number> = new Map([
	...Array.from({ length: 8 }, (_, k) => [`CS${k}`, k * 8] as const),
	...[1, 2, 3, 4].flatMap((queue) =>
		[1, 2, 3].map((drop) => [`AF${queue}${drop}`, queue * 8 + drop * 2] as const),
	),
	["EF", 46],
	["VOICE-ADMIT", 44],
	["LE", 1],
	["DF", 0],
]);

/** The number of a name; undefined: there is no such name. */
export function codePointOf(name: string): number | undefined {
	return codePoints.get(name.toUpperCase());
}

/** A number or a name, in capitals or not; what is stored and shown is the number. @throws CommandFailure */
export function parseDscp(what: string, text: string): number {
	if (/^\d/.test(text)) return parseUint32(what, text);
	const number = codePointOf(text);
	if (number === undefined)
		throw badValue(`${what} ${text}`, "0 to 63, or a name: EF, AF11 to AF43, CS0 to CS7");
	return number;
}
