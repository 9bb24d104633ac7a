/** What one topology needs of the hosts of `severalHosts`, and what comes of it. */
interface HostTopology {
	name: string;
	rules: HostRule[];
	/** Leaves that send, and leaves that must get every datagram exactly once. */
	sources: Leaf[];
	receivers: Leaf[];
}

interface HostRule {
	name: string;
	input: { interface: string; group: string; port: number };
	outputs: { interface: string; address: string; port: number }[];
	hosts: string[];
}

interface Leaf {
	at: "la" | "lb" | "lc";
	/** "GROUP:PORT" */
	group: string;
}

/** "HOST: IN:GROUP -> OUT:GROUP, OUT:GROUP"; port and group's first two bytes are the topology's. */
function rules(name: string, number: number, lines: string[]): HostRule[] {
	const port = 5_000 + number;
	const group = (text: string) => `239.${number}.${text}`;
	return lines.map((line, index) => {
		const [, host, from, what, to] = /^(\w): ([\w-]+):([\d.]+) -> (.*)$/.exec(line) ?? [];
		if (!host || !from || !what || !to) throw new Error(line);
		return {
			name: `${name}-${index}-${host}`,
			input: { interface: from, group: group(what), port },
			outputs: to.split(", ").map((output) => {
				const [out = "", address = ""] = output.split(":");
				return { interface: out, address: group(address), port };
			}),
			hosts: [`relay-${host}`],
		};
	});
}

const leaf = (number: number, at: Leaf["at"], group: string): Leaf => ({
	at,
	group: `239.${number}.${group}:${5_000 + number}`,
});

export const topologies: HostTopology[] = [
	{
		name: "chain",
		rules: rules("chain", 1, [
			"a: in:0.1 -> to-b:1.1",
			"b: from-a:1.1 -> to-c:2.1",
			"c: from-b:2.1 -> out:3.1",
		]),
		sources: [leaf(1, "la", "0.1")],
		receivers: [leaf(1, "lc", "3.1")],
	},
	{
		name: "diamond",
		rules: rules("diamond", 2, [
			"a: in:0.1 -> to-b:1.1, to-d:1.2",
			"b: from-a:1.1 -> to-c:2.1",
			"d: from-a:1.2 -> to-c:2.2",
			"c: from-b:2.1 -> out:3.1",
			"c: from-d:2.2 -> out:3.2",
		]),
		sources: [leaf(2, "la", "0.1")],
		receivers: [leaf(2, "lc", "3.1"), leaf(2, "lc", "3.2")],
	},
	{
		name: "mesh",
		rules: rules("mesh", 3, [
			"a: in:0.1 -> to-b:1.1, to-c:1.1",
			"b: from-a:1.1 -> out:2.1",
			"c: from-a:1.1 -> out:2.1",
			"b: out:0.2 -> from-a:1.2, to-c:1.2",
			"a: to-b:1.2 -> in:2.2",
			"c: from-b:1.2 -> out:2.2",
			"c: out:0.3 -> from-a:1.3, from-b:1.3",
			"a: to-c:1.3 -> in:2.3",
			"b: to-c:1.3 -> out:2.3",
		]),
		sources: [leaf(3, "la", "0.1"), leaf(3, "lb", "0.2"), leaf(3, "lc", "0.3")],
		receivers: [
			leaf(3, "la", "2.2"),
			leaf(3, "la", "2.3"),
			leaf(3, "lb", "2.1"),
			leaf(3, "lb", "2.3"),
			leaf(3, "lc", "2.1"),
			leaf(3, "lc", "2.2"),
		],
	},
	{
		name: "converging tree",
		rules: rules("tree", 4, [
			"a: in:0.1 -> to-c:1.1",
			"b: out:0.2 -> to-c:1.2",
			"c: from-a:1.1 -> out:2.1",
			"c: from-b:1.2 -> out:2.2",
		]),
		sources: [leaf(4, "la", "0.1"), leaf(4, "lb", "0.2")],
		receivers: [leaf(4, "lc", "2.1"), leaf(4, "lc", "2.2")],
	},
];
