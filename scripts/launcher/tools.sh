# Sourced by bring-up.sh: the tools that live in .tools, and node_modules.
# shellcheck shell=bash disable=SC2154

bun_version=1.4.5
# 2.10.27 is the first 2.10 without CVE-2025-30215, and the one in Debian's trixie.
nats_server_minimum=2.10.27
# The newest first: forky's 2.15 stores many rules by one write (docs/adr/0101). It moves until it is released, and may
# one day want a newer C library than this machine has: then it is trixie's (docs/adr/0123).
nats_server_suites=(forky trixie)

has_bun() {
	[[ -x $tools/bin/bun && $("$tools/bin/bun" --version 2>/dev/null) == "$bun_version" ]]
}

# npm's package of Bun for this processor; the usual one needs AVX2.
bun_package() {
	if [[ $(uname -m) == aarch64 ]]; then
		echo @oven/bun-linux-aarch64
	elif grep -qw avx2 /proc/cpuinfo; then
		echo @oven/bun-linux-x64
	else
		echo @oven/bun-linux-x64-baseline
	fi
}

install_bun() {
	has_bun && return
	local package
	package=$(bun_package)
	rm -rf "$tools/npm"
	in_checkout mkdir -p "$tools/npm"
	step bun "installing bun $bun_version (npm)" in_checkout npm install --prefix "$tools/npm" --ignore-scripts \
		--no-audit --no-fund --no-update-notifier --no-save "$package@$bun_version"
	chmod 0755 "$tools/npm/node_modules/$package/bin/bun"
	mv -f "$tools/npm/node_modules/$package/bin/bun" "$tools/bin/bun"
	rm -rf "$tools/npm"
	has_bun || fail "bun $bun_version does not run on this machine" "try $tools/bin/bun --version to see why"
}

# Prints the version of a nats-server, nothing if it does not run.
nats_server_version() {
	local text
	text=$("$1" --version 2>/dev/null) || return 0
	if [[ $text =~ v([0-9]+\.[0-9]+\.[0-9]+) ]]; then echo "${BASH_REMATCH[1]}"; fi
}

# True when version $1 is at least the minimum.
is_new_enough() {
	[[ $1 && $(printf '%s\n' "$nats_server_minimum" "$1" | sort -V | head -n 1) == "$nats_server_minimum" ]]
}

# SLUICE_NATS_SERVER names the server that `up` must use: it is taken or refused, never replaced.
check_demanded_nats_server() {
	local version
	[[ -x $SLUICE_NATS_SERVER ]] ||
		fail "SLUICE_NATS_SERVER names $SLUICE_NATS_SERVER, which is no program" 'correct or unset it'
	version=$(nats_server_version "$SLUICE_NATS_SERVER")
	is_new_enough "$version" ||
		fail "$SLUICE_NATS_SERVER is version ${version:-unknown} and Sluice needs $nats_server_minimum or newer" 'correct or unset SLUICE_NATS_SERVER'
}

# .tools/bin/nats-server is a link to a server that the machine has, or a file of ours.
install_nats_server() {
	local target=$tools/bin/nats-server found version
	if is_new_enough "$(nats_server_version "$target")"; then
		[[ -L $target ]] || renew_nats_server
		return
	fi
	found=$(type -P nats-server || true)
	if [[ $found ]]; then
		version=$(nats_server_version "$found")
		if is_new_enough "$version"; then
			in_checkout ln -sfn "$found" "$target"
			return
		fi
		say "$found is version ${version:-unknown}, older than $nats_server_minimum, and is left alone"
	fi
	command -v apt-get >/dev/null ||
		fail 'there is no nats-server, and no apt to fetch one' "install nats-server $nats_server_minimum or newer, or name one in SLUICE_NATS_SERVER"
	step nats-server "fetching nats-server (from Debian ${nats_server_suites[0]}, into .tools)" fetch_nats_server
}

# One that was fetched from other suites than today's is older than what they have. It serves where no other can be had;
# the next build tries again.
renew_nats_server() {
	is_of_todays_suites && return
	command -v apt-get >/dev/null || return 0
	step nats-server "fetching a newer nats-server (from Debian ${nats_server_suites[0]}, into .tools)" \
		eval 'fetch_nats_server || true'
	is_of_todays_suites || say "none could be had ($tools/log/nats-server.log says why): the one that is there is used"
}

is_of_todays_suites() {
	local note=$tools/nats-server-suites
	[[ -e $note && $(<"$note") == "${nats_server_suites[*]}" ]]
}

# Takes the first that runs here.
fetch_nats_server() {
	local suite server=$tools/nats-server/tree/usr/sbin/nats-server
	for suite in "${nats_server_suites[@]}"; do
		fetch_debian "$tools/nats-server" "$suite" nats-server || continue
		is_new_enough "$(nats_server_version "$server")" || continue
		mv -f "$server" "$tools/bin/nats-server" || return
		rm -rf "$tools/nats-server"
		in_checkout tee "$tools/nats-server-suites" <<<"${nats_server_suites[*]}"
		return
	done
	echo "error: no nats-server of ${nats_server_suites[*]} could be had and runs here"
	return 1
}

# The developers' packages (checks and generators, 280 MB) come with `test` alone, and stay once there.
# What was asked for the last time is written down where a removed node_modules takes it along.
install_node_modules() {
	local -a which=(--omit=dev)
	if [[ $command == test || $command == bench || -e $root/node_modules/.bin/biome ]]; then which=(); fi
	local note=$root/node_modules/.sluice-installed wanted
	wanted=$(cd "$root" && cat bun.lock bunfig.toml {.,proto,tests,services/*,dataplane-c/binding}/package.json | cksum)" ${which[*]}"
	[[ -e $note && $(<"$note") == "$wanted" ]] && has_workspace_modules && return
	step node_modules 'installing the npm packages of bun.lock' \
		in_checkout "$tools/bin/bun" install --frozen-lockfile --ignore-scripts --no-progress "${which[@]}"
	in_checkout tee "$note" <<<"$wanted" >/dev/null
}

# Each workspace that depends on packages has links of its own to them.
has_workspace_modules() {
	local folder
	for folder in "$root"/{proto,tests,services/{lib,control-api,supervisor,stats-aggregator,cli}}; do
		[[ -d $folder/node_modules ]] || return 1
	done
}
