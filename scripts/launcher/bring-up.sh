# Sourced by ./sluice: installs what is missing, creates the accounts, builds. Nothing here prints on
# stdout, which belongs to the command that follows.
# shellcheck shell=bash disable=SC2154  # root, tools, build, command… come from ./sluice

# shellcheck source=scripts/launcher/steps.sh
source "$root/scripts/launcher/steps.sh"
# shellcheck source=scripts/launcher/packages.sh
source "$root/scripts/launcher/packages.sh"
# shellcheck source=scripts/launcher/debian.sh
source "$root/scripts/launcher/debian.sh"
# shellcheck source=scripts/launcher/tools.sh
source "$root/scripts/launcher/tools.sh"
# shellcheck source=scripts/launcher/accounts.sh
source "$root/scripts/launcher/accounts.sh"

# What --help says on a machine where nothing is installed: asking must not install a compiler.
first_help() {
	cat <<-'TEXT'
		Sluice relays multicast between networks that cannot route it to each other.

		  sudo ./sluice up      starts NATS and every service on this host
		  sudo ./sluice demo    half a minute that shows a relay at work
		  sudo ./sluice test    runs every test
		  sudo ./sluice soak    an hour of load and disturbances, with exact accounts
		  sudo ./sluice bench   Sluice and its peers side by side: rates, CPU, latency
		  sudo ./sluice build   builds, nothing more

		Each installs what is missing and builds first. Nothing is built here yet; every
		other command and its flags are listed once it is.
	TEXT
}

# Asked without a command on a machine where nothing is built: the version, or the help.
first_answer() {
	if [[ $unknown_flag == --version ]]; then
		sed -n 's/^\t"version": "\(.*\)",$/\1/p' "$root/package.json"
	else
		first_help
	fi
}

# The reason that a command needs root for itself, whatever is installed.
refuse_without_root() {
	case $command in
	up) why='it opens packet sockets and starts services as their own users' ;;
	soak | bench) why='it runs relays on real packets in network namespaces' ;;
	demo) why='it makes network namespaces and opens packet sockets in them' ;;
	*) why='its tests run on real packets in network namespaces' ;;
	esac
	fail "$command needs root, since $why" "run sudo ./sluice $command"
}

check_machine() {
	case $(uname -sm) in
	'Linux x86_64' | 'Linux aarch64') ;;
	*) fail "this machine is $(uname -sm)" 'Sluice runs on Linux on x86_64 or aarch64' ;;
	esac
}

# One launcher at a time installs and builds in a checkout. The lock is a file opened for reading, so
# that it does not matter who made it.
take_lock() {
	in_checkout mkdir -p "$tools/bin" "$tools/log" "$build" ||
		fail "$root cannot be written" 'free some space or make it writable, then run the command again'
	[[ -e $tools/lock ]] || in_checkout touch "$tools/lock"
	exec {lock}<"$tools/lock"
	if ! flock --nonblock "$lock"; then
		say 'waiting for another sluice that is installing or building in this checkout…'
		flock "$lock"
	fi
}

# As in scripts/build.ts.
bundles=(cli control-api supervisor worker stats-aggregator)

is_made() {
	in_checkout make --silent --question -C dataplane-c "BUILD=$build" "$@" >/dev/null 2>&1
}

# Beyond is_current, which is quick: every bundle is there, and make finds nothing to do.
is_built() {
	is_current || return 1
	local name
	for name in "${bundles[@]}"; do
		[[ -e $build/$name.js ]] || return 1
	done
	is_made all bench-programs || return 1
	[[ $command != test ]] || { is_made test-programs && is_made SANITIZE=1 test-programs; }
}

build_all() {
	is_built && return
	built=yes
	local -a what=(scripts/build.ts)
	[[ $command == test ]] && what+=(--tests)
	step build 'building the data plane and the services' \
		in_checkout "$tools/bin/bun" --no-env-file "${what[@]}"
}

# A user who may read but not write the checkout runs the build that is there, if there is one.
run_older_build() {
	[[ -x $tools/bin/bun && -e $build/cli.js && $command != test && $command != soak && $command != bench && $command != build ]] || return 1
	say "the sources are newer than the build and this user cannot write $root: running the older build"
}

# The trap runs wherever the signal finds the launcher, mostly in a step whose stderr is its log.
interrupted() {
	printf '\n' >&"$console"
	fail "${command:-it} was interrupted while it installed or built" 'run it again, and it goes on where it stopped' 2>&"$console"
}

install_and_build() {
	local started=$SECONDS built=''
	exec {console}>&2
	trap interrupted INT TERM
	take_lock
	# Another launcher may have done it all while this one waited.
	if [[ $command == test || $command == bench || $command == build ]] || ! is_current; then
		install_packages
		install_bun
		install_nats_server
		install_node_modules
		build_all
	fi
	exec {lock}<&-
	trap - INT TERM EXIT
	exec {console}>&-
	if ((SECONDS - started > 5)); then
		say "ready after $((SECONDS - started)) s"
	elif [[ $command == build && ! $built ]]; then
		say 'everything is built already'
	fi
}

bring_up() {
	find_owner
	if [[ $help || ! $command || $command == help ]] && ! [[ -x $tools/bin/bun && -e $build/cli.js ]]; then
		first_answer
		exit 0
	fi
	if [[ $needs_root && ! $help ]] && ((EUID != 0)); then refuse_without_root; fi
	if [[ $command == test || $command == bench || $command == build ]] || ! is_current; then
		check_machine
		if [[ -w $root ]]; then
			install_and_build
		else
			run_older_build || refuse_unwritable
		fi
	fi
	[[ -z ${SLUICE_NATS_SERVER:-} ]] || check_demanded_nats_server
	if [[ $needs_root || $command == build ]] && ((EUID == 0)); then make_accounts; fi
	if [[ $command == build ]]; then exit 0; fi
}
