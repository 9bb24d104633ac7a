# Sourced by bring-up.sh: what comes from the system's own package sources, by apt.
# shellcheck shell=bash disable=SC2154

# The Debian packages that are missing, in $missing. Asked by file and command, not by package
# name, so that another compiler package or another distribution's npm will do.
find_missing_packages() {
	missing=()
	command -v gcc >/dev/null || missing+=(gcc)
	command -v make >/dev/null || missing+=(make)
	[[ -e /usr/include/stdio.h ]] || missing+=(libc6-dev)
	[[ -e /usr/include/linux/if_packet.h ]] || missing+=(linux-libc-dev)
	command -v setpriv >/dev/null || missing+=(util-linux)
	command -v ip >/dev/null || missing+=(iproute2)
	if ! has_bun; then
		command -v node >/dev/null || missing+=(nodejs)
		command -v npm >/dev/null || missing+=(npm)
	fi
	# What only the tests call for.
	if [[ $command == test ]]; then
		command -v sysctl >/dev/null || missing+=(procps)
		command -v openssl >/dev/null || missing+=(openssl)
	fi
	[[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
}

has_package_lists() {
	compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null
}

# A source that does not answer is no reason to stop: whether a package can be had is what counts.
update_package_lists() {
	say 'reading the package lists (apt-get update)…'
	in_checkout touch "$tools/log/apt-update.log"
	apt-get -q update >"$tools/log/apt-update.log" 2>&1 </dev/null || true
}

# uninterrupted COMMAND…: what dpkg has begun it ends, since half of it would keep apt from anything else. dpkg takes SIGINT
# even where apt ignores it, so both get a session of their own, which the terminal's Ctrl-C does not reach.
uninterrupted() {
	local stop='' code=0 job
	trap 'stop=yes; printf "\nsluice: this stops once apt has ended what it began…\n" >&"$console"' INT TERM
	setsid --wait "$@" &
	job=$!
	until wait "$job" && code=0; do
		code=$?
		kill -0 "$job" 2>/dev/null || break
	done
	trap interrupted INT TERM
	[[ ! $stop ]] || interrupted
	return "$code"
}

apt_install() {
	uninterrupted env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install "$@"
}

# Lists of last month name packages that are gone: one refusal is answered by reading them anew. Where no network is,
# that is said at once: apt would ask three times for each package, and for minutes.
apt_install_with_fresh_lists() {
	apt_install -o Acquire::Retries=0 "$@" && return
	! grep -qiE 'could not resolve|temporary failure resolving|network is unreachable' "$tools/log/apt.log" || return
	apt-get -q update || true
	apt_install "$@"
}

install_packages() {
	local -a missing
	find_missing_packages
	((${#missing[@]} > 0)) || return 0
	command -v apt-get >/dev/null ||
		fail "this system has no apt, and lacks ${missing[*]}" 'install these with its own package tool, then run the command again'
	((EUID == 0)) ||
		fail "only root may install the Debian packages that are missing (${missing[*]})" 'run sudo ./sluice build once'
	if has_package_lists; then
		step apt "installing ${missing[*]} (Debian packages)" apt_install_with_fresh_lists "${missing[@]}"
	else
		update_package_lists
		step apt "installing ${missing[*]} (Debian packages)" apt_install "${missing[@]}"
	fi
}
