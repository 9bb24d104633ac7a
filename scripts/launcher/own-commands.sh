# Sourced by ./sluice: help and refusals of test, soak, bench and build, which the launcher runs itself.
# shellcheck shell=bash disable=SC2154

help_for_own_command() {
	if [[ $command == test ]]; then
		cat <<-'TEXT'
			Usage: sluice test [PATTERN…]

			Installs what is missing, builds, and runs every test of this checkout, or those
			whose names contain one of the patterns. The last line is "N passed, N failed,
			N skipped"; the exit code is 0 only if something ran and nothing failed. It
			needs root: the tests run on real packets.
		TEXT
	elif [[ $command == soak ]]; then
		cat <<-'TEXT'
			Usage: sluice soak [--minutes N] [--seed S]

			Runs a relay of its own under mixed load for N minutes (60), while rules come
			and go, workers and services are killed, and NATS stands still, as the seed
			decides. After each round every datagram is accounted for, and what each process
			holds is compared. The exit code is 0 only if all of it adds up. The same seed
			repeats the same plan. It needs root.
		TEXT
	elif [[ $command == bench ]]; then
		cat <<-'TEXT'
			Usage: sluice bench [--quick] [--case NAME]… [--peer NAME]…
			                    [--peer-command TEMPLATE] [--runs N] [--seconds S]
			                    [--results DIR] [--json FILE]

			Runs Sluice and its peers side by side, on the same traffic in the same run, in
			network namespaces of its own, and writes a table, results.json (with every
			sample) and plots.

			  --quick                  under a minute, and coarse; without it, three
			                           quarters of an hour
			  --case NAME              cpu, loss-free, latency, fan-out, streams, rules,
			                           workers, realtime, put, apply, idle, micro (all)
			  --peer NAME              sluice, socat, reference, smcroute, command (all)
			  --peer-command TEMPLATE  one more peer, called command: a shell command for
			                           each stream and output, in which {in} {group}
			                           {port} {in-address} and {out} {to} {to-port}
			                           {out-address} are filled in
			  --runs N, --seconds S    so many repetitions (3), of so many seconds (1)
			  --results DIR            where to write (results/bench-TIME in the checkout)
			  --json FILE              results.json once more, under this name

			It needs root. A peer that is not there is left out, and said.
		TEXT
	else
		cat <<-'TEXT'
			Usage: sluice build

			Installs what is missing and builds. The other commands do so by themselves when
			sources are newer.
		TEXT
	fi
	exit 0
}

refuse_unknown_words() {
	local wrong='' word
	if [[ $command == soak ]]; then
		for word in "${operands[@]}"; do
			[[ $word == -* && ! $word =~ ^--(minutes|seed)(=|$) ]] && wrong=${wrong:-"unknown option $word"}
		done
	elif [[ $command == bench ]]; then
		for word in "${operands[@]}"; do
			[[ $word == --* && ! $word =~ ^--(quick$|(case|peer|peer-command|runs|seconds|results|json)(=|$)) ]] &&
				wrong=${wrong:-"unknown option $word"}
		done
	elif [[ $unknown_flag ]]; then
		wrong="unknown option $unknown_flag"
	elif [[ $command == build ]] && ((${#operands[@]} > 0)); then
		wrong="build takes no arguments, and was given ${operands[0]}"
	fi
	[[ $wrong ]] || return 0
	printf 'sluice: %s: see ./sluice %s --help\n' "$wrong" "$command" >&2
	exit 2
}
