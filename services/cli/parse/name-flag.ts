import { SluiceError } from "@sluice/lib/errors";
import type { RuleOptions } from "./rule.ts";

/**
 * The same refusal with what the user typed before the path that control-api names:
 * `--in r0:239.1.1.1:5001,vlan=5000: input.vlan: …`. What is about no flag stays as it is. Pure.
 */
export function nameFlag(error: unknown, name: string, options: RuleOptions): unknown {
	if (!(error instanceof SluiceError) || error.code !== "invalid") return error;
	const typed = flagOf(error.message, name, options);
	if (typed === undefined) return error;
	return new SluiceError(error.code, `${typed}: ${error.message}`, { cause: error });
}

function flagOf(message: string, name: string, options: RuleOptions): string | undefined {
	const [, field, index = "", inner = ""] =
		/^([a-zA-Z]+)(?:\[(\d+)\])?((?:\.[\w[\]]+)*): /.exec(message) ?? [];
	const source = /^\.sources(?:\[(\d+)\])?/.exec(inner);
	if (field === "name") return name;
	if (field === "input" && source) return repeated("--source", options.source, source[1]);
	if (field === "input") return `--in ${options.in}`;
	if (field === "outputs") return repeated("--out", options.out, index);
	if (field === "hostLabels" && options.hostLabels !== undefined)
		return `--host-labels ${options.hostLabels}`;
	return field === "hosts" ? repeated("--host", options.host, index) : undefined;
}

function repeated(flag: string, values: readonly string[] | undefined, index = ""): string {
	const value = index === "" ? undefined : values?.[Number(index)];
	return value === undefined ? flag : `${flag} ${value}`;
}
