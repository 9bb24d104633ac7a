import { expect, test } from "bun:test";
import { fillTemplate, refuseTemplate } from "./template.ts";

const FIELDS = {
	...{ in: "r0", group: "239.1.0.1", port: "5001", "in-address": "10.1.0.1" },
	...{ out: "r1", to: "239.10.0.1", "to-port": "6001", "out-address": "10.2.0.1" },
};

test("each field is filled in, as often as it is named", () => {
	const template =
		"relay -i {in} {group}:{port} -a {in-address} -o {out}/{out-address} {to}:{to-port} #{port}";
	expect(refuseTemplate(template)).toBeUndefined();
	expect(fillTemplate(template, FIELDS)).toBe(
		"relay -i r0 239.1.0.1:5001 -a 10.1.0.1 -o r1/10.2.0.1 239.10.0.1:6001 #5001",
	);
});

test("an unknown field, or a task that is not whole, is refused", () => {
	expect(refuseTemplate("relay {groups} {port} {to} {to-port}")).toStartWith("{groups} is none of {in} ");
	expect(refuseTemplate("relay {group} {port} {to-port}")).toStartWith("{to} is missing");
	expect(refuseTemplate("relay")).toStartWith("{group} is missing");
});
