import type { Deployment } from "./deployment.ts";

/** What the engine gave a service, of what compose.yaml asks for. */
interface Given {
	readOnly: boolean;
	network: string;
	/** Capabilities in the order of their names, as setpriv spells them. */
	added: string[];
	dropped: string[];
	security: string[];
	log: unknown;
	restart: string;
	graceSeconds: number | undefined;
	/** Whether memory and processes have a limit. */
	limited: boolean;
	checked: boolean;
	/** Of what it waits for, and in which state that must be. */
	after: Record<string, string>;
	startedMs: number;
	finishedMs: number;
}

interface Inspected {
	HostConfig: {
		ReadonlyRootfs: boolean;
		NetworkMode: string;
		CapAdd: string[] | null;
		CapDrop: string[];
		SecurityOpt: string[];
		LogConfig: unknown;
		RestartPolicy: { Name: string };
		Memory: number;
		PidsLimit: number | null;
	};
	Config: { StopTimeout?: number; Healthcheck?: object };
	State: { StartedAt: string; FinishedAt: string };
}

interface Composed {
	services: Record<string, { depends_on?: Record<string, { condition: string }> }>;
}

/** Of each container of a deployment, by its service. */
export async function inspected(deployment: Deployment): Promise<Map<string, Given>> {
	const { services } = JSON.parse(await deployment.compose("config", "--format", "json")) as Composed;
	const all = new Map<string, Given>();
	for (const { Service, ID } of await deployment.containers()) {
		const [told] = JSON.parse(await deployment.engine.docker("inspect", ID)) as Inspected[];
		if (told === undefined) throw new Error(`no container of ${Service}`);
		const needs = Object.entries(services[Service]?.depends_on ?? {});
		all.set(
			Service,
			given(told, Object.fromEntries(needs.map(([name, { condition }]) => [name, condition]))),
		);
	}
	return all;
}

function given({ HostConfig, Config, State }: Inspected, after: Record<string, string>): Given {
	const names = (HostConfig.CapAdd ?? []).map((name) => name.replace(/^CAP_/, "").toLowerCase());
	return {
		readOnly: HostConfig.ReadonlyRootfs,
		network: HostConfig.NetworkMode,
		added: names.sort(),
		dropped: HostConfig.CapDrop,
		security: HostConfig.SecurityOpt,
		log: HostConfig.LogConfig,
		restart: HostConfig.RestartPolicy.Name,
		graceSeconds: Config.StopTimeout,
		limited: HostConfig.Memory > 0 && (HostConfig.PidsLimit ?? 0) > 0,
		checked: Config.Healthcheck !== undefined,
		after,
		startedMs: Date.parse(State.StartedAt),
		finishedMs: Date.parse(State.FinishedAt),
	};
}
