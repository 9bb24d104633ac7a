import type { Message } from "@bufbuild/protobuf";
import { isMulticast, parseIpv4, parsePrefix } from "@sluice/lib/address";
import type { Output, StoredRule } from "@sluice/proto/gen/rule";
import { outputKey } from "@sluice/proto/output-key";
import type { DesiredOutput, DesiredRule, Prefix } from "../reconcile/types.ts";

const DEFAULT_TTL = 16;
const UID = /^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$/;

/**
 * A stored rule as numbers, with every default filled in. What control-api would
 * have refused is marked as malformed: one bad record must not stop the others.
 */
export function desiredRule(name: string, stored: StoredRule, revision: bigint): DesiredRule {
	const input = stored.rule?.input;
	const group = parseIpv4(input?.group ?? "");
	const sources = parseSources(input?.sources ?? []);
	const outputs = (stored.rule?.outputs ?? []).map(desiredOutput);
	const valid = outputs.filter((output) => output !== undefined);
	const base = {
		name,
		uid: stored.uid,
		revision,
		input: {
			interface: input?.interface ?? "",
			group: group ?? 0,
			multicast: isMulticast(group ?? 0),
			port: input?.port ?? 0,
			vlan: input?.vlan ?? 0,
			sources: sources ?? [],
		},
		outputs: valid,
	};
	const sound =
		UID.test(stored.uid) &&
		group !== undefined &&
		sources !== undefined &&
		base.input.port > 0 &&
		valid.length > 0 &&
		valid.length === outputs.length;
	if (hasUnknownField(stored)) {
		return {
			...base,
			malformed: "the rule has fields that this host does not know: bring it up to the cluster",
		};
	}
	return sound ? base : { ...base, malformed: "the stored rule is malformed: put it again" };
}

/** A field of a later version means something that would be lost. */
function hasUnknownField(stored: StoredRule): boolean {
	const { rule } = stored;
	const parts: (Message | undefined)[] = [stored, rule, rule?.input, ...(rule?.outputs ?? [])];
	return parts.some((part) => part?.$unknown !== undefined && part.$unknown.length > 0);
}

function desiredOutput(output: Output): DesiredOutput | undefined {
	const { interface: name, port = 0, ttl = DEFAULT_TTL, dscp = 0 } = output;
	const address = parseIpv4(output.address);
	if (
		address === undefined ||
		name === "" ||
		port < 1 ||
		port > 0xffff ||
		ttl < 1 ||
		ttl > 255 ||
		dscp > 63
	) {
		return undefined;
	}
	return {
		interface: name,
		address,
		multicast: isMulticast(address),
		port,
		ttl,
		dscp,
		sourcePort: output.sourcePort ?? port,
		key: outputKey(name, output.address, port),
	};
}

/** Undefined when one of them is not an address or prefix; each one once. */
function parseSources(texts: readonly string[]): Prefix[] | undefined {
	const prefixes = new Map<string, Prefix>();
	for (const text of texts) {
		const prefix = parsePrefix(text);
		if (prefix === undefined) return undefined;
		prefixes.set(`${prefix.address}/${prefix.length}`, prefix);
	}
	return [...prefixes.values()];
}
