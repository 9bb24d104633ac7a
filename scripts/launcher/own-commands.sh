# Sourced by ./sluice: help and refusals of test and build, which the launcher runs itself.
# shellcheck shell=bash disable=SC2154

help_for_own_command() {
	if [[ $command == test ]]; then
		cat <<-'TEXT'
			Usage: sluice test [PATTERN…]

			Installs what is missing, builds, and runs every test of this checkout, or those whose names
			contain one of the patterns. The last line is "N passed, N failed, N skipped"; the exit code is
			0 only if something ran and nothing failed. It needs root: the tests run on real packets.
		TEXT
	else
		cat <<-'TEXT'
			Usage: sluice build

			Installs what is missing and builds. The other commands do so by themselves when sources are newer.
		TEXT
	fi
	exit 0
}

refuse_unknown_words() {
	local wrong=''
	if [[ $unknown_flag ]]; then
		wrong="unknown option $unknown_flag"
	elif [[ $command == build ]] && ((${#operands[@]} > 0)); then
		wrong="build takes no arguments, and was given ${operands[0]}"
	fi
	[[ $wrong ]] || return 0
	printf 'sluice: %s: see ./sluice %s --help\n' "$wrong" "$command" >&2
	exit 2
}
