import { expect, test } from "bun:test";
import { createColors } from "picocolors";
import { printable } from "./terminal.ts";

test("what hosts say cannot steer a terminal", () => {
	expect(printable("reason \x1b[2J\x07\x1b]0;title\x9b1m\r")).toBe(
		"reason \u{fffd}[2J\u{fffd}\u{fffd}]0;title\u{fffd}1m\u{fffd}",
	);
});

test("colours and line ends stay", () => {
	const text = `${createColors(true).bold("NAME")}\n${createColors(true).green("ACTIVE")} – é\n`;
	expect(printable(text)).toBe(text);
});
