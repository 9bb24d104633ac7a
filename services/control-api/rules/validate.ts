import { create, type Message } from "@bufbuild/protobuf";
import { formatPrefix, isMulticast, looksLikeIpv6, parseIpv4, parsePrefix } from "@sluice/lib/address";
import { NAME_PATTERN } from "@sluice/lib/config";
import { SluiceError } from "@sluice/lib/errors";
import { inOrder, type Labels, labelComplaint } from "@sluice/lib/labels";
import { ALL_HOSTS } from "@sluice/lib/placement";
import { type Input, type Output, type Rule, RuleSchema } from "@sluice/proto/gen/rule";
import { limits, outOfRange, type Range, ranges } from "./limits.ts";

/**
 * Checks one rule by itself and returns it in canonical form: host bits of source
 * prefixes cleared, repeated sources left out, labels in order. Throws `invalid` with the path of
 * the first field that is wrong. Pure.
 */
export function canonicalRule(rule: Rule | undefined): Rule {
	if (rule === undefined) throw new SluiceError("invalid", "rule: missing: give a rule");
	refuseUnknown("rule", rule);
	checkName("name", rule.name);
	if (rule.input === undefined) throw wrong("input", "missing: give interface, group and port");
	const input = canonicalInput(rule.input);
	checkOutputs(rule.outputs);
	refuseSelfLoop(input, rule.outputs);
	const hosts = checkedHosts(rule.hosts);
	const hostLabels = checkedLabels(rule.hostLabels, hosts);
	return create(RuleSchema, { name: rule.name, input, outputs: rule.outputs, hosts, hostLabels });
}

export function checkName(path: string, name: string): void {
	if (name === "") throw wrong(path, "missing: give a name");
	if (!NAME_PATTERN.test(name)) {
		throw wrong(
			path,
			`${quoted(name)} is not a name: use a-z, 0-9 and -, with a letter or digit first, at most 63 characters`,
		);
	}
}

function canonicalInput(input: Input): Input {
	refuseUnknown("input", input);
	checkInterface("input.interface", input.interface);
	checkAddress("input.group", input.group, "a multicast group, or a unicast address of the relay");
	checkRequired("input.port", input.port, ranges.port);
	checkOptional("input.vlan", input.vlan, ranges.vlan);
	return { ...input, sources: canonicalSources(input.sources) };
}

function canonicalSources(sources: readonly string[]): string[] {
	if (sources.length > limits.sourcesPerRule) {
		throw wrong(
			"input.sources",
			`${sources.length} are too many: at most ${limits.sourcesPerRule}, or use prefixes`,
		);
	}
	const canonical = new Set<string>();
	for (const [k, source] of sources.entries()) {
		const path = `input.sources[${k}]`;
		if (looksLikeIpv6(source))
			throw wrong(path, `${quoted(source)}: IPv6 is not supported yet: give an IPv4 one`);
		const prefix = parsePrefix(source);
		if (prefix === undefined) {
			throw wrong(path, `${quoted(source)} is not an IPv4 address or prefix: write 10.0.0.5 or 10.0.0.0/24`);
		}
		if (prefix.length === 32 && prefix.address === 0) {
			throw wrong(path, "0.0.0.0 is no source: leave sources out for any source");
		}
		if (prefix.length >= 4 && isMulticast(prefix.address)) {
			throw wrong(path, `${quoted(source)} is a multicast group, which never is a source`);
		}
		canonical.add(formatPrefix(prefix));
	}
	return [...canonical];
}

function checkOutputs(outputs: readonly Output[]): void {
	if (outputs.length === 0) throw wrong("outputs", "missing: give at least one output");
	if (outputs.length > limits.outputsPerRule) {
		throw wrong("outputs", `${outputs.length} are too many: at most ${limits.outputsPerRule} in one rule`);
	}
	const seen = new Map<string, number>();
	for (const [k, output] of outputs.entries()) {
		checkOutput(`outputs[${k}]`, output);
		const key = outputText(output);
		const first = seen.get(key);
		if (first !== undefined)
			throw wrong(`outputs[${k}]`, `${key} is the same as outputs[${first}]: remove one`);
		seen.set(key, k);
	}
}

function checkOutput(path: string, output: Output): void {
	refuseUnknown(path, output);
	checkInterface(`${path}.interface`, output.interface);
	checkAddress(`${path}.address`, output.address, "a multicast group or a unicast address");
	if (isLoopback(output.address)) {
		throw wrong(
			`${path}.address`,
			`${output.address} never leaves its host: give an address of another host`,
		);
	}
	checkRequired(`${path}.port`, output.port, ranges.port);
	checkOptional(`${path}.ttl`, output.ttl, ranges.ttl);
	checkOptional(`${path}.dscp`, output.dscp, ranges.dscp);
	checkOptional(`${path}.sourcePort`, output.sourcePort, ranges.port);
}

/** "r1:239.1.1.1:5001", as the command line writes an output. */
export function outputText(output: Output): string {
	return `${output.interface}:${output.address}:${output.port ?? 0}`;
}

/** "r0:239.1.1.1:5001", as the command line writes an input. */
export function inputText(input: Input): string {
	return `${input.interface}:${input.group}:${input.port ?? 0}`;
}

/** What leaves is untagged, so an input inside a VLAN never sees it. */
function refuseSelfLoop(input: Input, outputs: readonly Output[]): void {
	if (input.vlan !== undefined) return;
	const looped = outputs.findIndex((output) => outputText(output) === inputText(input));
	if (looped >= 0) {
		throw wrong(
			`outputs[${looped}]`,
			`${inputText(input)} is the rule's own input, it would feed itself: give another address or port`,
		);
	}
}

function checkedHosts(hosts: readonly string[]): string[] {
	if (hosts.length > limits.hostsPerRule) {
		throw wrong("hosts", `${hosts.length} are too many: at most ${limits.hostsPerRule}, or ["${ALL_HOSTS}"]`);
	}
	for (const [k, host] of hosts.entries()) {
		checkName(`hosts[${k}]`, host);
		if (host === ALL_HOSTS && hosts.length > 1) {
			throw wrong(`hosts[${k}]`, `"${ALL_HOSTS}" stands alone: leave the other hosts out`);
		}
		if (hosts.indexOf(host) < k) throw wrong(`hosts[${k}]`, `${quoted(host)} is named twice: remove one`);
	}
	return [...hosts];
}

function checkedLabels(labels: Labels, hosts: readonly string[]): Record<string, string> {
	const complaint = labelComplaint(labels);
	if (complaint !== undefined) throw wrong("hostLabels", complaint);
	if (Object.keys(labels).length > 0 && hosts.length > 0) {
		throw wrong("hostLabels", "hosts are named too: give one or the other");
	}
	return inOrder(labels);
}

/** What the kernel accepts (dev_valid_name), less what the command line could not write. */
const INTERFACE_NAME = /^[!-.0-9;-~]+$/;

function checkInterface(path: string, name: string): void {
	if (name === "") throw wrong(path, "missing: give the name of an interface");
	if (Buffer.byteLength(name) > limits.interfaceNameBytes) {
		throw wrong(
			path,
			`${quoted(name)} is too long: interface names have at most ${limits.interfaceNameBytes} characters`,
		);
	}
	if (name === "." || name === ".." || !INTERFACE_NAME.test(name)) {
		throw wrong(path, `${quoted(name)} is not an interface name: no spaces, / or :`);
	}
}

function checkAddress(path: string, text: string, wanted: string): void {
	if (text === "") throw wrong(path, `missing: give ${wanted}`);
	if (looksLikeIpv6(text)) throw wrong(path, `${quoted(text)}: IPv6 is not supported yet: give an IPv4 one`);
	const address = parseIpv4(text);
	if (address === undefined) throw wrong(path, `${quoted(text)} is not an IPv4 address: give ${wanted}`);
	if (address === 0xffff_ffff) throw wrong(path, `${text} is the broadcast address: give ${wanted}`);
	if (address >>> 24 === 0) throw wrong(path, `${text} addresses no host: give ${wanted}`);
	if (address >>> 28 === 0xf) throw wrong(path, `${text} is reserved (240.0.0.0/4): give ${wanted}`);
}

/** 127.0.0.0/8. */
function isLoopback(text: string): boolean {
	return (parseIpv4(text) ?? 0) >>> 24 === 127;
}

function checkRequired(path: string, value: number | undefined, range: Range): void {
	if (value === undefined) throw wrong(path, `missing: give ${range.least} to ${range.most}`);
	checkOptional(path, value, range);
}

function checkOptional(path: string, value: number | undefined, range: Range): void {
	if (value !== undefined && (value < range.least || value > range.most))
		throw wrong(path, outOfRange(value, range));
}

/** A field of a later version means something that would be lost. */
function refuseUnknown(path: string, message: Message): void {
	const field = message.$unknown?.[0];
	if (field !== undefined)
		throw wrong(path, `field ${field.no} is not known to this version: bring the cluster up to it`);
}

function quoted(text: string): string {
	return JSON.stringify(text.length <= 80 ? text : `${text.slice(0, 79)}…`);
}

function wrong(path: string, what: string): SluiceError {
	return new SluiceError("invalid", `${path}: ${what}`);
}
