import { create } from "@bufbuild/protobuf";
import {
	type Input,
	InputSchema,
	type Output,
	OutputSchema,
	type Rule,
	RuleSchema,
} from "@sluice/proto/gen/rule";
import { badValue } from "../failure.ts";
import { parseDscp } from "./dscp.ts";
import { formatEndpoint, parseEndpoint, parseUint32 } from "./endpoint.ts";
import { parseLabels } from "./labels.ts";

/** The options of `rule add` and `rule set`, as typed. */
export interface RuleOptions {
	in: string;
	out: string[];
	source?: string[];
	host?: string[];
	hostLabels?: string;
}

const INPUT_SHAPE = "IFACE:GROUP:PORT[,vlan=N]";
const OUTPUT_SHAPE = "IFACE:ADDR:PORT[,ttl=N][,dscp=N][,source-port=N]";

export function parseRule(name: string, options: RuleOptions): Rule {
	return create(RuleSchema, {
		name,
		input: parseInput(options.in, options.source ?? []),
		outputs: options.out.map(parseOutput),
		hosts: options.host ?? [],
		hostLabels: options.hostLabels === undefined ? {} : parseLabels("--host-labels", options.hostLabels),
	});
}

export function parseInput(text: string, sources: string[]): Input {
	const endpoint = parseEndpoint("--in", text, INPUT_SHAPE);
	const input = create(InputSchema, {
		interface: endpoint.interface,
		group: endpoint.address,
		port: endpoint.port,
		sources,
	});
	for (const [option, value] of endpoint.options) {
		if (option !== "vlan") throw badValue(`--in ${text}: ${option} is unknown`, INPUT_SHAPE);
		input.vlan = parseUint32(`--in ${text}: vlan`, value);
	}
	return input;
}

export function parseOutput(text: string): Output {
	const endpoint = parseEndpoint("--out", text, OUTPUT_SHAPE);
	const output = create(OutputSchema, {
		interface: endpoint.interface,
		address: endpoint.address,
		port: endpoint.port,
	});
	for (const [option, value] of endpoint.options) {
		const what = `--out ${text}: ${option}`;
		if (option === "ttl") output.ttl = parseUint32(what, value);
		else if (option === "dscp") output.dscp = parseDscp(what, value);
		else if (option === "source-port") output.sourcePort = parseUint32(what, value);
		else throw badValue(`--out ${text}: ${option} is unknown`, OUTPUT_SHAPE);
	}
	return output;
}

/** The input as the command line spells it; sources are flags of their own. */
export function formatInput(input: Input): string {
	const vlan = input.vlan === undefined ? "" : `,vlan=${input.vlan}`;
	return formatEndpoint(input.interface, input.group, input.port) + vlan;
}

export function formatOutput(output: Output): string {
	const options = [
		output.ttl === undefined ? "" : `,ttl=${output.ttl}`,
		output.dscp === undefined ? "" : `,dscp=${output.dscp}`,
		output.sourcePort === undefined ? "" : `,source-port=${output.sourcePort}`,
	];
	return formatEndpoint(output.interface, output.address, output.port) + options.join("");
}
