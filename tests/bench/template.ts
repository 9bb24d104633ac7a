/** The command line of a peer that this benchmark does not know. */

/** What a template may name, as {name}. */
export const FIELDS = ["in", "group", "port", "in-address", "out", "to", "to-port", "out-address"] as const;

export type Fields = Readonly<Record<(typeof FIELDS)[number], string>>;

const FIELD = /\{([^{}]*)\}/g;

/** What is wrong with it, or undefined. */
export function refuseTemplate(template: string): string | undefined {
	const named = Array.from(template.matchAll(FIELD), ([, name = ""]) => name);
	const unknown = named.find((name) => !(FIELDS as readonly string[]).includes(name));
	if (unknown !== undefined) return `{${unknown}} is none of ${FIELDS.map((name) => `{${name}}`).join(" ")}`;
	const missing = (["group", "port", "to", "to-port"] as const).find((name) => !named.includes(name));
	return missing === undefined ? undefined : `{${missing}} is missing, so that it could not know its task`;
}

export function fillTemplate(template: string, fields: Fields): string {
	return template.replaceAll(FIELD, (whole, name: string) => fields[name as keyof Fields] ?? whole);
}
