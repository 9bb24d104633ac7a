import type { DescEnum, DescFile, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import { permissionsOf, roles } from "../../services/cli/up/permissions.ts";
import {
	closure,
	comment,
	complete,
	enumSection,
	link,
	marked,
	messageSection,
	partial,
	type Words,
} from "./messages.ts";

/** First word of the comment of every rpc. */
const SUBJECT = /^(sluice\.v1\.[a-z.]+): /;

interface Request {
	readonly method: DescMethod;
	readonly subject: string;
	readonly text: string;
}

/** All that is said of the API, as markdown: requests, events, then every message. */
export function reference(files: readonly DescFile[]): string {
	const own = files.filter(({ proto }) => proto.package === "sluice.v1");
	const services = own.flatMap((file) => file.services);
	const events = own.filter(({ name }) => name.endsWith("/event")).flatMap((file) => file.messages);
	const asked = services.flatMap(({ methods }) => methods.flatMap(({ input, output }) => [input, output]));
	const open = closure([...asked, ...events]);
	const all = closure(own.flatMap((file) => file.messages));
	const inside = all.filter((type) => !open.includes(type));
	return [
		"## Requests",
		requestTable(services),
		...services.flatMap(serviceSections),
		"## Events",
		...events.map((event) => messageSection(event, complete)),
		"## Messages",
		...sections(
			open.filter((type) => !events.some((event) => event === type)),
			complete,
		),
		"## Inside the cluster",
		"Between the services, and for nobody else: these may change with every version.",
		...sections(inside, partial),
		"",
	].join("\n\n");
}

function sections(types: readonly (DescMessage | DescEnum)[], words: Words): string[] {
	return types.map((type) => (type.kind === "enum" ? enumSection(type, words) : messageSection(type, words)));
}

function request(method: DescMethod): Request {
	const text = comment(method);
	const subject = SUBJECT.exec(text)?.[1];
	if (subject === undefined)
		throw new Error(
			`${method.parent.name}.${method.name}: its comment must begin with its subject and a colon`,
		);
	return { method, subject, text: text.replace(SUBJECT, "") };
}

/** Whom nats-server lets send it: people and programs, not services. */
function askers(subject: string): string {
	const people = roles.filter((role) => ["operator", "orchestrator", "reader"].includes(role));
	return people.filter((role) => permissionsOf(role, "HOST").publish.allow.includes(subject)).join(", ");
}

function requestTable(services: readonly DescService[]): string {
	const rows = services
		.flatMap(({ methods }) => methods.map(request))
		.map(({ method: { input, output }, subject }) => {
			return `| \`${subject}\` | ${link(input)} | ${link(output)} | ${askers(subject)} |`;
		});
	return ["| subject | request | answer | who may ask |", "|---|---|---|---|", ...rows].join("\n");
}

function serviceSections(service: DescService): string[] {
	return service.methods.map(request).map(({ method: { input, output }, subject, text }) => {
		const answered = comment(service).replace(/^.*; (answered by .*)\.$/s, "$1");
		return `### \`${subject}\`\n\n${capitalized(marked(text))}\n\n${link(input)} → ${link(output)}, ${answered}.`;
	});
}

function capitalized(text: string): string {
	return text.charAt(0).toUpperCase() + text.slice(1);
}
