import { Command, Option } from "commander";
import type { ApplyOptions } from "./commands/apply.ts";
import type { CredentialsOptions } from "./commands/credentials.ts";
import type { LogLevelOptions } from "./commands/log-level.ts";
import type { RecoverOptions } from "./commands/recover.ts";
import type { StatsOptions } from "./commands/stats.ts";
import type { UpFlags } from "./commands/up.ts";
import type { WorkerRestartOptions } from "./commands/worker-restart.ts";
import type { Context } from "./context.ts";
import { CommandFailure, exitCodes } from "./failure.ts";
import { DEFAULT_DATA_DIR, DEFAULT_TIMEOUT_SECONDS, type RawGlobalFlags } from "./global-flags.ts";
import type { RuleOptions } from "./parse/rule.ts";
import { VERSION } from "./version.ts";

/** Runs what a command does, with the global flags as they were given before and after it. */
export type Perform = (flags: RawGlobalFlags, body: (context: Context) => Promise<void>) => Promise<void>;

/**
 * The whole command line in one place. What a command does is loaded when it runs,
 * so that --help and a typing error cost nothing but this file.
 */
export function commandLine(perform: Perform): Command {
	const program = new Command("sluice")
		.description("Relays multicast between networks that cannot route it to each other.")
		.option("--json", "answer as JSON on stdout")
		.option("--data-dir <DIR>", `this host's state (SLUICE_DATA_DIR; default ${DEFAULT_DATA_DIR})`)
		.option("--nats <URL>", "the cluster's NATS (SLUICE_NATS_URL; default from the credentials)")
		.option(
			"--credentials <FILE>",
			"who is asking (SLUICE_CREDENTIALS; default what up left in DATA-DIR/credentials)",
		)
		.option("--timeout <SECONDS>", `longest wait for an answer (default ${DEFAULT_TIMEOUT_SECONDS})`)
		.option("--debug", "show where an error came from")
		.version(VERSION, "--version", "print the version")
		.helpOption("-h, --help", "show this help")
		// For the list: main.ts turns `help rule add` into `rule add --help`.
		.helpCommand("help [COMMAND]", "show the help of a command")
		.exitOverride()
		.configureOutput({ writeErr: () => {} })
		.configureHelp({ showGlobalOptions: true });
	declareRunning(program, perform);
	declareRules(program, perform);
	declareFiles(program, perform);
	declareViews(program, perform);
	declareCredentials(program, perform);
	declareRecovery(program, perform);
	declareContainer(program, perform);
	declareTools(program);
	refuseRepetition(program);
	return program;
}

/** A flag with one value that is given twice contradicts itself: silently taking the last one hides it. */
function refuseRepetition(command: Command): void {
	for (const option of command.options) {
		if (!option.required || option.parseArg !== undefined) continue;
		option.argParser((value: string, previous: string | undefined) => {
			if (previous === undefined) return value;
			throw new CommandFailure(
				exitCodes.usage,
				`${option.long ?? option.flags} is given twice, as ${previous} and ${value}: give it once`,
			);
		});
	}
	for (const sub of command.commands) refuseRepetition(sub);
}

function repeated(value: string, previous: string[] | undefined): string[] {
	return [...(previous ?? []), value];
}

/** @returns a commander action that loads and runs the command. */
function on<Arguments extends unknown[]>(
	perform: Perform,
	run: (context: Context, ...args: Arguments) => Promise<void>,
): (this: Command, ...args: unknown[]) => Promise<void> {
	return async function (this: Command, ...args: unknown[]) {
		// Commander passes operands, options, and the command itself, in the order declared.
		const given = args.slice(0, -1) as Arguments;
		await perform(this.optsWithGlobals<RawGlobalFlags>(), (context) => run(context, ...given));
	};
}

function declareRunning(program: Command, perform: Perform): void {
	program
		.command("up")
		.description("start this host and stay in the foreground; needs root")
		.option("--host-id <ID>", "this host's name in the cluster (default: the host name)")
		.option("--labels <k=v,...>", "what rules can choose this host by")
		.option("--workers <N|auto>", "worker processes (default auto: one per core)")
		.option(
			"--idle <STRATEGY>",
			"what workers do when nothing is ready: adaptive, block, spin (default adaptive)",
		)
		.option("--priority <NAME>", "how workers come before others: nice, realtime (default nice)")
		.option("--ring-memory <MIB>", "kernel memory for all receive rings (default 512)")
		.option("--http <ADDR:PORT>", "where the HTTP API listens (default 127.0.0.1:7080)")
		.option("--nats-listen <ADDR:PORT>", "where its own NATS listens (default 127.0.0.1:4222)")
		.option("--nats-tls-cert <FILE>", "its NATS speaks TLS with this certificate, PEM")
		.option("--nats-tls-key <FILE>", "the certificate's private key, PEM")
		.option("--nats-tls-ca <FILE>", "who signed it, PEM (default: the last certificate of that file)")
		.addHelpText(
			"after",
			"\nWith --credentials FILE, made by sluice credentials host on the cluster's first\nhost, it joins the cluster there, or that of --nats, and starts only supervisor\nand workers.",
		)
		.action(
			on(perform, async (context, given: UpFlags) => (await import("./commands/up.ts")).up(context, given)),
		);
	program
		.command("demo")
		.description("half a minute that shows a relay at work, in namespaces of its own; needs root")
		.action(on(perform, async (context) => (await import("./demo/demo.ts")).demo(context)));
}

function declareRules(program: Command, perform: Perform): void {
	const rule = program.command("rule").description("what is relayed: add, set, list, show, remove");
	ruleOptions(rule.command("add <NAME>").description("add a rule and wait until its hosts relay")).action(
		on(perform, async (context, name: string, options: RuleOptions) =>
			(await import("./commands/rule-add.ts")).ruleAdd(context, name, options),
		),
	);
	ruleOptions(rule.command("set <NAME>").description("replace a rule in place; its counters go on")).action(
		on(perform, async (context, name: string, options: RuleOptions) =>
			(await import("./commands/rule-set.ts")).ruleSet(context, name, options),
		),
	);
	rule
		.command("list")
		.description("all rules, where they are active, and how much flows")
		.action(on(perform, async (context) => (await import("./commands/rule-list.ts")).ruleList(context)));
	rule
		.command("show <NAME>")
		.description("one rule in full")
		.action(
			on(perform, async (context, name: string) =>
				(await import("./commands/rule-show.ts")).ruleShow(context, name),
			),
		);
	rule
		.command("remove <NAME>")
		.description("remove a rule")
		.action(
			on(perform, async (context, name: string) =>
				(await import("./commands/rule-remove.ts")).ruleRemove(context, name),
			),
		);
}

function ruleOptions(command: Command): Command {
	const out = new Option(
		"--out <IFACE:ADDR:PORT[,...]>",
		"where each datagram is sent, with ,ttl=N ,dscp=N ,source-port=N as needed; repeat for more",
	);
	return command
		.usage("NAME --in IFACE:GROUP:PORT --out IFACE:ADDR:PORT [flags]")
		.requiredOption(
			"--in <IFACE:GROUP:PORT[,...]>",
			"what is captured, with ,vlan=N if tagged; IPv6 in brackets",
		)
		.addOption(out.makeOptionMandatory().argParser(repeated))
		.option("--source <IP[/LEN]>", "take only these sources; repeat for more", repeated)
		.option(
			"--host <ID|all>",
			"where it runs; repeat for more (default: the host that has the input interface)",
			repeated,
		)
		.option("--host-labels <k=v,...>", "where it runs instead: on every host that carries all of these");
}

function declareFiles(program: Command, perform: Perform): void {
	program
		.command("apply")
		.description("make the rules those of a file, all or nothing")
		.requiredOption("-f, --file <FILE|->", "JSON5 file of rules, - for standard input")
		.option("--dry-run", "show what would change, change nothing")
		.option("--prune", "remove rules that the file does not name")
		.action(
			on(perform, async (context, options: ApplyOptions) =>
				(await import("./commands/apply.ts")).apply(context, options),
			),
		);
	program
		.command("export")
		.description("print all rules as the file that apply reads")
		.action(on(perform, async (context) => (await import("./commands/export.ts")).exportRules(context)));
}

function declareViews(program: Command, perform: Perform): void {
	program
		.command("stats [NAME]")
		.description("what was received, forwarded, sent and dropped")
		.option("--watch", "again each second, until interrupted")
		.option("--workers", "also what each worker counted")
		.action(
			on(perform, async (context, name: string | undefined, options: StatsOptions) =>
				(await import("./commands/stats.ts")).stats(context, name, options),
			),
		);
	declareHosts(program, perform);
	declareWorkers(program, perform);
	program
		.command("log")
		.description("logging of the running services: level")
		.command("level [LEVEL]")
		.description("set trace, debug, info, warn or error; without LEVEL show what is set")
		.option("--service <S>", "this service only")
		.option("--facility <F>", "this facility only")
		.action(
			on(perform, async (context, level: string | undefined, options: LogLevelOptions) =>
				(await import("./commands/log-level.ts")).logLevel(context, level, options),
			),
		);
}

function declareWorkers(program: Command, perform: Perform): void {
	const worker = program.command("worker").description("per-core workers: list, restart");
	worker
		.command("list")
		.description("workers, their cores, states and restarts")
		.action(on(perform, async (context) => (await import("./commands/worker-list.ts")).workerList(context)));
	worker
		.command("restart [WORKER]")
		.description("replace workers by new processes, one after the other, without loss")
		.option("--host <ID>", "this host's only (default: every host's)")
		.action(
			on(perform, async (context, number: string | undefined, options: WorkerRestartOptions) =>
				(await import("./commands/worker-restart.ts")).workerRestart(context, number, options),
			),
		);
}

function declareHosts(program: Command, perform: Perform): void {
	const host = program.command("host").description("relay hosts: list, forget");
	host
		.command("list")
		.description("hosts, their interfaces, and when they were last seen")
		.action(on(perform, async (context) => (await import("./commands/host-list.ts")).hostList(context)));
	host
		.command("forget <ID>")
		.description("leave out a host that is gone and will not come back")
		.action(
			on(perform, async (context, id: string) =>
				(await import("./commands/host-forget.ts")).hostForget(context, id),
			),
		);
}

function declareCredentials(program: Command, perform: Perform): void {
	const credentials = program
		.command("credentials")
		.description("whom the cluster lets in: host, orchestrator, list, revoke");
	for (const [kind, operand, description] of [
		["host", "ID", "make the file with which a host joins; needs root"],
		["orchestrator", "NAME", "make the file with which a program places rules and reads figures; needs root"],
	] as const) {
		credentials
			.command(`${kind} <${operand}>`)
			.description(description)
			.option("--out <FILE|->", "write a copy there, - for standard output")
			.option("--renew", "new keys; the old ones are refused from then on")
			.action(
				on(perform, async (context, name: string, options: CredentialsOptions) =>
					(await import("./commands/credentials.ts")).credentialsIssue(context, kind, name, options),
				),
			);
	}
	credentials
		.command("list")
		.description("hosts and orchestrators that were given credentials")
		.action(
			on(perform, async (context) => (await import("./commands/credentials.ts")).credentialsList(context)),
		);
	credentials
		.command("revoke <KIND> <NAME>")
		.description("refuse a host or an orchestrator from now on; needs root")
		.action(
			on(perform, async (context, kind: string, name: string) =>
				(await import("./commands/credentials.ts")).credentialsRevoke(context, kind, name),
			),
		);
}

function declareRecovery(program: Command, perform: Perform): void {
	const cluster = program.command("cluster").description("after the rules were lost: restore, accept");
	for (const [name, description, changes] of [
		["restore", "put back the rules that hosts hold, with their uids", "show what would be put back"],
		[
			"accept",
			"let hosts drop the rules they hold: what is stored now is right",
			"show what would be dropped",
		],
	] as const) {
		cluster
			.command(name)
			.description(description)
			.option("--dry-run", `${changes}, change nothing`)
			.option("--without <ID>", "leave out what this host holds; repeat for more", repeated)
			.action(
				on(perform, async (context, options: RecoverOptions) =>
					(await import("./commands/recover.ts")).recover(context, name, options),
				),
			);
	}
}

/** What the containers of compose.yaml begin with; nobody types it. */
function declareContainer(program: Command, perform: Perform): void {
	const container = program
		.command("container", { hidden: true })
		.description("init, owners, keys, start-line");
	container
		.command("init")
		.description("make keys and configuration in the data directory")
		.action(on(perform, async (context) => (await import("./container/init.ts")).containerInit(context)));
	container
		.command("owners")
		.description("give what is in the data directory to whom it is to belong")
		.action(on(perform, async (context) => (await import("./container/owners.ts")).containerOwners(context)));
	container
		.command("keys")
		.description("tell nats-server of credentials that are issued and revoked")
		.action(on(perform, async (context) => (await import("./container/keys.ts")).containerKeys(context)));
	container
		.command("start-line <SERVICE>")
		.description("write a service's configuration into its pipe")
		.action(
			on(perform, async (context, service: string) =>
				(await import("./container/start-line.ts")).containerStartLine(context, service),
			),
		);
}

/**
 * Only for the help: the launcher and commands/tool.ts take their command lines before
 * commander sees them.
 */
function declareTools(program: Command): void {
	program.command("gen").description("send numbered datagrams; see sluice gen --help");
	program.command("recv").description("receive and verify them; see sluice recv --help");
	const build = program.command("build").description("install what is missing and build");
	const test = program
		.command("test [PATTERN...]")
		.description("run every test of this checkout, or those whose names contain a pattern");
	const soak = program
		.command("soak")
		.description("load and disturbances for an hour, with exact accounts, in a checkout")
		.option("--minutes <N>", "how long (default: 60)")
		.option("--seed <S>", "repeats the plan of another run");
	const bench = program
		.command("bench")
		.description("Sluice and its peers side by side, in a checkout")
		.option("--quick", "under a minute, and coarse")
		.option("--case <NAME>", "only this case, or these")
		.option("--peer <NAME>", "only this peer, or these")
		.option("--peer-command <TEMPLATE>", "one more peer")
		.option("--runs <N>", "repetitions of each measurement (default: 3)")
		.option("--seconds <S>", "how long a trial takes (default: 1)")
		.option("--results <DIR>", "where to write");
	for (const command of [build, test, soak, bench]) {
		command.action(() => {
			throw new CommandFailure(
				exitCodes.failed,
				`${command.name()} is the launcher's: run ./sluice ${command.name()} in a checkout`,
			);
		});
	}
}
