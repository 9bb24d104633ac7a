import { expect, test } from "bun:test";
import { ClockWatch } from "./clock-watch.ts";

test("a clock that is off is told once, and when it is right again", () => {
	const said: string[] = [];
	const watch = new ClockWatch({ warn: (line) => said.push(line), info: (line) => said.push(line) });
	const look = (aheadSeconds: number) =>
		watch.look({ value: { atUnixMs: BigInt(1_000_000 + aheadSeconds * 1_000) }, writtenUnixMs: 1_000_000 });
	for (const aheadSeconds of [0, -2, -60, -61, 1, 30]) look(aheadSeconds);
	expect(said).toEqual([
		expect.stringMatching(/^this host's clock is 60 s behind nats-server's: .* set it right, by NTP/),
		"this host's clock agrees with nats-server's again",
		expect.stringMatching(/^this host's clock is 30 s ahead of nats-server's: /),
	]);
});
