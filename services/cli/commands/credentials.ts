import { lstat, readFile, rm, writeFile } from "node:fs/promises";
import { NAME_PATTERN } from "@sluice/lib/config";
import { ALL_HOSTS } from "@sluice/lib/placement";
import { withCluster } from "../cluster.ts";
import type { Context } from "../context.ts";
import {
	type Issued,
	type IssuedKind,
	issuedFileName,
	issuedKinds,
	listIssued,
	orchestratorIdentity,
	publicKeysOf,
	readIssuedHost,
	readOrchestrator,
} from "../credentials/issued.ts";
import { untilAccepted, untilForgotten } from "../credentials/take-up.ts";
import { isLoopback, ownAddresses, type ServerUrl, urlForOthers } from "../credentials/url.ts";
import { badValue, CommandFailure, exitCodes } from "../failure.ts";
import { formatTable } from "../format/table.ts";
import { listRules } from "../list-rules.ts";
import { DataDir } from "../up/data-dir.ts";
import { makeSeed, nkeyCredentialsFile, nkeyFile, type ServerAddress } from "../up/identities.ts";
import { refuseIssuing } from "../up/joined.ts";
import { parseListenAddress } from "../up/listen-address.ts";
import { listenIn, serverNameIn, serverNameOf } from "../up/nats-conf.ts";

export interface CredentialsOptions {
	/** A copy goes there; "-" is standard output. */
	out?: string;
	/** New keys though there are some; the old ones are refused from then on. */
	renew?: boolean;
}

/** Makes one file with what a host or an orchestrator needs to be let in, or shows it again. */
export async function credentialsIssue(
	{ flags, terminal }: Context,
	kind: IssuedKind,
	name: string,
	options: CredentialsOptions,
): Promise<void> {
	const issued = await locate(flags.dataDir, kind, name);
	const dataDir = new DataDir(flags.dataDir);
	const conf = await readConf(dataDir);
	if (kind === "host" && serverNameIn(conf) === serverNameOf(name))
		throw badValue(name, "another host: this is the cluster's first one, which has its keys from its own up");
	const { out } = options;
	if (out !== undefined && out !== "-") await refuseSpecial(out);
	const made = await dataDir.changingCredentials(async () => {
		const before = options.renew === true ? undefined : await read(issued).catch(() => undefined);
		const server = await serverAt(dataDir, flags.natsUrl ?? before?.url ?? findUrl(conf, name));
		const { url } = server;
		const now =
			before === undefined ? make(kind, name, server) : { ...before, url, text: textOf(before, server) };
		// Its age tells when it was made: a host that was seen since then has what it says.
		if (now.text !== before?.text) await dataDir.write(issued.path, now.text, 0o600);
		return now;
	});
	const { url } = made;
	const takenUp = await untilAccepted(dataDir, made.seed, flags.timeoutMs);
	if (out !== undefined && out !== "-") await copyTo(out, made.text);
	const file = out === undefined || out === "-" ? issued.path : out;
	if (out === "-") await terminal.write(made.text.replaceAll("\t", "  "));
	else if (flags.json) await terminal.write(`${JSON.stringify({ kind, name, url, file })}\n`);
	else await terminal.write(`${outcome(kind, name, url, file)}\n`);
	if (isLoopback(url)) terminal.note(`sluice: ${onlyHere(kind, name, url, serverUrl(conf))}`);
	if (takenUp !== "now") terminal.note(LATER);
	else if (kind === "host")
		for (const line of await whatWillWait({ flags, terminal }, name)) terminal.note(line);
}

/** Rules without hosts wait as soon as two hosts have their input interface. Said if it can be found out. */
async function whatWillWait({ flags, terminal }: Context, host: string): Promise<string[]> {
	const here = { flags: { ...flags, natsUrl: undefined }, terminal };
	const rules = await withCluster(here, (cluster) => listRules(cluster)).catch(() => []);
	const free = rules.filter(({ rule, hosts }) => {
		const nowhere = rule?.hosts.length === 0 && Object.keys(rule.hostLabels).length === 0;
		return nowhere && !hosts.some((each) => each.host === host);
	});
	if (free.length === 0) return [];
	const names = free.slice(0, SHOWN_RULES).map(({ name }) => name);
	const more = free.length > names.length ? ` and ${free.length - names.length} more` : "";
	const which = free.length === 1 ? `rule ${names[0]} names` : `rules ${names.join(", ")}${more} name`;
	return [
		`sluice: ${which} no host, and will wait if ${host} has the input interface too: name hosts, with sluice rule set`,
	];
}

const SHOWN_RULES = 8;

/** Their keys are refused from now on, and what is connected with them is cut off. */
export async function credentialsRevoke({ flags, terminal }: Context, kind: string, name: string) {
	if (!isKind(kind)) throw badValue(kind, `one of ${issuedKinds.join(", ")}`);
	const issued = await locate(flags.dataDir, kind, name);
	const dataDir = new DataDir(flags.dataDir);
	await readConf(dataDir);
	const keys = await dataDir.changingCredentials(async () => {
		const known = await publicKeysOf(issued).catch(() => []);
		await rm(issued.path).catch((cause: unknown) => {
			throw new CommandFailure(
				exitCodes.failed,
				`there are no credentials of ${kind} ${name}: see sluice credentials list`,
				{ cause },
			);
		});
		return known;
	});
	const takenUp = await untilForgotten(dataDir, keys, flags.timeoutMs);
	await terminal.write(flags.json ? `${JSON.stringify({ kind, name })}\n` : `${kind} ${name} is refused\n`);
	if (takenUp !== "now") terminal.note(LATER);
	if (kind === "host")
		terminal.note(
			`sluice: it relays the rules it knows until sluice up is stopped there; then sluice host forget ${name}`,
		);
}

/** Whom this host's nats-server lets in besides what `up` started here. */
export async function credentialsList({ flags, terminal }: Context): Promise<void> {
	const dataDir = new DataDir(flags.dataDir);
	await refuseIssuing(dataDir);
	const folder = dataDir.credentialsFolder;
	const issued = await listIssued(folder).catch((cause: NodeJS.ErrnoException) => {
		const why =
			cause.code === "ENOENT"
				? "does not exist: name the directory of the sluice up that runs nats-server with --data-dir"
				: `cannot be read (${cause.code}): use sudo, or join the group sluice`;
		throw new CommandFailure(exitCodes.failed, `${folder} ${why}`, { cause });
	});
	if (flags.json) {
		const credentials = issued.map(({ kind, name, path }) => ({ kind, name, file: path }));
		await terminal.write(`${JSON.stringify({ credentials })}\n`);
	} else if (issued.length === 0) {
		await terminal.write("none: make some with sluice credentials host ID, or orchestrator NAME\n");
	} else {
		const columns = [{ heading: "KIND" }, { heading: "NAME" }, { heading: "FILE" }];
		const rows = issued.map(({ kind, name, path }) => [kind, name, path]);
		await terminal.write(formatTable(columns, rows, terminal.colors));
	}
}

/** @param server where nats-server listens by now: a file keeps the URL that it was made with. */
function onlyHere(kind: IssuedKind, name: string, url: string, server: ServerUrl): string {
	const urls = "url" in server ? [server.url] : server.candidates;
	const remedy = urls.some(isLoopback)
		? "start sluice up with --nats-listen ADDR:PORT, and give this command --nats nats://ADDR:PORT"
		: `give this command --nats ${urls.join(" or ")}, where nats-server listens`;
	if (kind === "host") return `${url} is ${name} itself when it asks there: ${remedy}`;
	return `${url} can be reached on this host only: should ${name} run on another, ${remedy}`;
}

const LATER = "sluice: sluice up does not run here: it holds from its next start";

function isKind(kind: string): kind is IssuedKind {
	return issuedKinds.some((known) => known === kind);
}

/** @throws CommandFailure for a name that cannot be, and for whoever is neither root nor the directory's owner. */
async function locate(path: string, kind: IssuedKind, name: string): Promise<Issued> {
	if (!NAME_PATTERN.test(name))
		throw badValue(name, "a-z, 0-9 and -, with a letter or digit first, at most 63 characters");
	if (kind === "host" && name === ALL_HOSTS)
		throw badValue(name, "a name of its own: rules mean every host by all");
	const dataDir = new DataDir(path);
	const uid = process.getuid?.();
	if (uid !== 0 && uid !== (await dataDir.owner().catch(() => undefined)))
		throw new CommandFailure(exitCodes.failed, "credentials are root's to give: use sudo");
	return { kind, name, path: `${dataDir.credentialsFolder}/${issuedFileName(kind, name)}` };
}

/** The configuration of the nats-server that `up` runs here. @throws CommandFailure when it runs none. */
async function readConf(dataDir: DataDir): Promise<string> {
	await refuseIssuing(dataDir);
	await dataDir.refuseEndless();
	const { natsConf } = dataDir;
	return await readFile(natsConf, "utf8").catch((cause: unknown) => {
		throw new CommandFailure(
			exitCodes.failed,
			`no nats-server of sluice up on this host, ${natsConf} does not exist: ask on the host that the others join`,
			{ cause },
		);
	});
}

interface Made {
	readonly url: string;
	/** One of its keys: the server learns all at once. */
	readonly seed: string;
	readonly text: string;
}

async function read(issued: Issued): Promise<Made> {
	const text = await readFile(issued.path, "utf8");
	if (issued.kind === "orchestrator") return { ...(await readOrchestrator(issued)), text };
	const { url, supervisor } = await readIssuedHost(issued);
	return { url, seed: supervisor.seed, text };
}

/** The same file for a server that is elsewhere now, or shows another certificate. */
function textOf({ text }: Made, { url, ca, serverName }: ServerAddress): string {
	return format({ ...(JSON.parse(text) as object), url, ca, serverName });
}

/** By what this host's own commands know the server, others do. */
async function serverAt(dataDir: DataDir, url: string): Promise<ServerAddress> {
	const own = await readFile(dataDir.credentials("operator"), "utf8");
	const { ca, serverName } = nkeyCredentialsFile.parse(JSON.parse(own));
	const scheme = ca === undefined ? "nats" : "tls";
	const servers = url.split(",").map((server) => `${scheme}://${server.replace(/^\w+:\/\//, "")}`);
	return { url: servers.join(","), ca, serverName };
}

function make(kind: IssuedKind, name: string, server: ServerAddress): Made {
	const seed = makeSeed();
	const { url, ca, serverName } = server;
	if (kind === "orchestrator") return { url, seed, text: nkeyFile(orchestratorIdentity(name), seed, server) };
	const keys = { supervisor: { seed }, worker: { seed: makeSeed() }, reader: { seed: makeSeed() } };
	return { url, seed, text: format({ kind, host: name, url, ca, serverName, ...keys }) };
}

function format(credentials: object): string {
	return `${JSON.stringify(credentials, null, "\t")}\n`;
}

function findUrl(conf: string, name: string): string {
	const found = serverUrl(conf);
	if ("url" in found) return found.url;
	throw new CommandFailure(
		exitCodes.failed,
		`nats-server listens on ${found.candidates.join(", ")}: say which one ${name} reaches, with --nats URL`,
	);
}

function serverUrl(conf: string): ServerUrl {
	return urlForOthers(parseListenAddress("--nats-listen", listenIn(conf), "127.0.0.1:4222"), ownAddresses());
}

/** What stands there is replaced, and neither a device nor a pipe nor the link /dev/stdout should be. */
async function refuseSpecial(path: string): Promise<void> {
	const is = await lstat(path).catch(() => undefined);
	if (is === undefined || is.isFile()) return;
	throw new CommandFailure(
		exitCodes.failed,
		`--out ${path} is no ordinary file: name another, or - for standard output`,
	);
}

async function copyTo(path: string, text: string): Promise<void> {
	try {
		// Not into a file that others may have open or may read.
		await rm(path, { force: true });
		await writeFile(path, text, { mode: 0o600, flag: "wx" });
	} catch (error) {
		const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
		throw new CommandFailure(exitCodes.failed, `--out ${path} cannot be written (${code}): name another`, {
			cause: error,
		});
	}
}

function outcome(kind: IssuedKind, name: string, url: string, file: string): string {
	const may = `${kind} ${name} may connect to ${url} with ${file}`;
	if (kind === "orchestrator" || isLoopback(url)) return may;
	return `${may}\ncopy that file to ${name}, and there: sudo ./sluice up --credentials FILE`;
}
