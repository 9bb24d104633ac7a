import { afterAll, beforeAll, expect, test } from "bun:test";
import { CliLab } from "./cli-lab.ts";

let lab: CliLab;

const IN = "r0:239.1.1.1:5001";
const OUT = "r1:239.10.1.1:6001";

beforeAll(async () => {
	lab = await CliLab.start();
	await lab.startService("stats-aggregator");
	await lab.must(["rule", "add", "video", "--in", IN, "--out", OUT, "--host", "nobody"]);
});
afterAll(() => lab.stop());

const add = (name: string, input: string, ...outputs: string[]) => [
	...["rule", "add", name, "--in", input, "--host", "nobody"],
	...outputs.flatMap((output) => ["--out", output]),
];
const file = (...rules: object[]) => JSON.stringify({ rules });
const input = { interface: "r0", group: "239.1.1.9", port: 5001 };
const outputs = [{ interface: "r1", address: "239.10.1.1", port: 6001 }];
const apply = ["apply", "-f", "-"];

const cases: [what: string, exitCode: number, words: string[], line: string, stdin?: string][] = [
	[
		"a bad address in",
		1,
		add("a", "r0:239.1.1:5001", OUT),
		'--in r0:239.1.1:5001: input.group: "239.1.1" is not an IPv4 address: give a multicast group, or a unicast address of the relay',
	],
	[
		"a bad address out",
		1,
		add("a", "r0:239.1.1.9:5001", "r1:239.10.1.300:6001"),
		'--out r1:239.10.1.300:6001: outputs[0].address: "239.10.1.300" is not an IPv4 address: give a multicast group or a unicast address',
	],
	["port 0 in", 1, add("a", "r0:239.1.1.9:0", OUT), "--in r0:239.1.1.9:0: input.port: 0 is not 1 to 65535"],
	[
		"port 70000 in",
		1,
		add("a", "r0:239.1.1.9:70000", OUT),
		"--in r0:239.1.1.9:70000: input.port: 70000 is not 1 to 65535",
	],
	[
		"port 0 out",
		1,
		add("a", "r0:239.1.1.9:5001", "r1:239.10.1.1:0"),
		"--out r1:239.10.1.1:0: outputs[0].port: 0 is not 1 to 65535",
	],
	[
		"port 70000 out",
		1,
		add("a", "r0:239.1.1.9:5001", OUT, "r1:239.10.1.1:70000"),
		"--out r1:239.10.1.1:70000: outputs[1].port: 70000 is not 1 to 65535",
	],
	[
		"TTL 0",
		1,
		add("a", "r0:239.1.1.9:5001", `${OUT},ttl=0`),
		"--out r1:239.10.1.1:6001,ttl=0: outputs[0].ttl: 0 is not 1 to 255",
	],
	[
		"TTL 256",
		1,
		add("a", "r0:239.1.1.9:5001", `${OUT},ttl=256`),
		"--out r1:239.10.1.1:6001,ttl=256: outputs[0].ttl: 256 is not 1 to 255",
	],
	[
		"no outputs",
		2,
		add("a", "r0:239.1.1.9:5001"),
		"required option --out <IFACE:ADDR:PORT[,...]> not specified: see sluice rule add --help",
	],
	[
		"a duplicate name",
		1,
		add("video", "r0:239.1.1.9:5001", OUT),
		"rule video exists: replace it with sluice rule set video",
	],
	[
		"a bad name",
		1,
		add("Video", "r0:239.1.1.9:5001", OUT),
		'Video: name: "Video" is not a name: use a-z, 0-9 and -, with a letter or digit first, at most 63 characters',
	],
	[
		"a conflicting key",
		1,
		add("a", IN, OUT),
		"input: r0:239.1.1.1:5001 from any source is taken by rule video: change one of the two, or give them different hosts",
	],
	[
		"a self-loop",
		1,
		add("a", "r0:239.1.1.9:5001", "r0:239.1.1.9:5001"),
		"--out r0:239.1.1.9:5001: outputs[0]: r0:239.1.1.9:5001 is the rule's own input, it would feed itself: give another address or port",
	],
	[
		"an unknown rule shown",
		1,
		["rule", "show", "nothing"],
		"rule nothing does not exist: sluice rule list shows those that do",
	],
	[
		"an unknown rule removed",
		1,
		["rule", "remove", "nothing"],
		"rule nothing does not exist: sluice rule list shows those that do",
	],
	[
		"an unknown rule's statistics",
		1,
		["stats", "nothing"],
		"rule nothing does not exist: sluice rule list shows those that do",
	],
	["an unknown command", 2, ["rule", "ad"], "unknown command ad: did you mean add?"],
	["an unknown flag", 2, ["rule", "list", "--jsn"], "unknown option --jsn: did you mean --json?"],
	[
		"a file of no outputs",
		1,
		apply,
		"rules[0] (a): outputs: missing: give at least one output",
		file({ name: "a", input, outputs: [] }),
	],
	[
		"a file with TTL 0",
		1,
		apply,
		"rules[0] (a): outputs[0].ttl: 0 is not 1 to 255",
		file({ name: "a", input, outputs: [{ ...outputs[0], ttl: 0 }] }),
	],
	[
		"a file with port 70000",
		1,
		apply,
		"rules[0] (a): input.port: 70000 is not 1 to 65535",
		file({ name: "a", input: { ...input, port: 70000 }, outputs }),
	],
	[
		"a file with one name twice",
		1,
		apply,
		"rules[1] (a): name: the same as rules[0]: rename one",
		file({ name: "a", input, outputs }, { name: "a", input: { ...input, port: 1 }, outputs }),
	],
	[
		"a file with one key twice",
		1,
		apply,
		"rules[1] (b): input: r0:239.1.1.9:5001 from any source is taken by rule a: change one of the two, or give them different hosts",
		file({ name: "a", input, outputs }, { name: "b", input, outputs }),
	],
	[
		"half a file",
		1,
		apply,
		"standard input: line 1:24: invalid end of input: close what is still open, with ], } or a quote",
		'{ rules: [ { name: "a",',
	],
];

for (const [what, exitCode, words, line, stdin] of cases) {
	test(`${what} is refused in one line that says what to do`, async () => {
		expect(await lab.run(words, stdin)).toEqual({ exitCode, stdout: "", stderr: `sluice: ${line}\n` });
	});
}
