import { expect, spyOn, test } from "bun:test";
import { createColors } from "picocolors";
import { openTerminal, printable } from "./terminal.ts";

test("what hosts say cannot steer a terminal", () => {
	expect(printable("reason \x1b[2J\x07\x1b]0;title\x9b1m\r")).toBe(
		"reason \u{fffd}[2J\u{fffd}\u{fffd}]0;title\u{fffd}1m\u{fffd}",
	);
});

test("what hosts say can neither conceal what follows nor turn its order", () => {
	expect(printable("\x1b[8mhidden\x1b[0m \u202eback\u2028line\u200b")).toBe(
		"\u{fffd}[8mhidden\u{fffd}[0m \u{fffd}back\u{fffd}line\u{fffd}",
	);
});

test("a note is one line and cannot steer a terminal either", () => {
	const written: unknown[] = [];
	const stderr = spyOn(process.stderr, "write").mockImplementation((text) => written.push(text) > 0);
	openTerminal({}).note("sluice: warning: host a: \x1b[2J\x1b]0;title\x07\nhost b: fine");
	stderr.mockRestore();
	expect(written).toEqual([
		"sluice: warning: host a: \u{fffd}[2J\u{fffd}]0;title\u{fffd}\u{fffd}host b: fine\n",
	]);
});

test("colours and line ends stay", () => {
	const text = `${createColors(true).bold("NAME")}\n${createColors(true).green("ACTIVE")} – é\n`;
	expect(printable(text)).toBe(text);
});
