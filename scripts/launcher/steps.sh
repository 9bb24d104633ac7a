# Sourced by bring-up.sh: how a step is announced, run, logged and, if it fails, explained.
# shellcheck shell=bash disable=SC2154

say() {
	printf 'sluice: %s\n' "$*" >&2
}

# fail WHAT REMEDY: the one line that ends a launch.
fail() {
	printf 'sluice: %s: %s\n' "$1" "$2" >&2
	exit 1
}

# Whose checkout is it? Sets $owner (uid), $owner_group, $owner_name and $owner_home.
find_owner() {
	local entry
	owner=$(stat -c %u "$root") owner_group=$(stat -c %g "$root")
	entry=$(getent passwd "$owner" || true)
	owner_name=${entry%%:*}
	owner_home=$(cut -d: -f6 <<<"$entry")
}

# Runs a command in the checkout as its owner, since what npm and a build run must not run as root
# in a user's checkout, nor leave files there that the user cannot remove.
in_checkout() {
	local -a as=()
	if ((EUID == 0 && owner != 0)); then
		local home=$owner_home
		# A uid without a home of its own (a bind mount from elsewhere) gets one beside the tools.
		[[ -d $home && $(stat -c %u "$home") == "$owner" ]] || home=$tools/home
		local -a groups=(--clear-groups)
		[[ $owner_name ]] && groups=(--init-groups)
		as=(setpriv "--reuid=$owner" "--regid=$owner_group" "${groups[@]}"
			env -u SUDO_USER -u SUDO_UID -u SUDO_GID -u XDG_CACHE_HOME
			"HOME=$home" "USER=$owner_name" "LOGNAME=$owner_name")
	fi
	(cd "$root" && exec "${as[@]}" "$@")
}

# The log's last line and the seconds gone by, on a terminal only.
show_progress() {
	local log=$1 began=$SECONDS line width
	width=$(tput cols 2>/dev/null || echo 80)
	while sleep 1; do
		line=$(tail -n 1 "$log" 2>/dev/null | tr -cd '[:print:]' | cut -c "1-$((width - 10))") || line=''
		printf '\r\e[K%5d s  %s' $((SECONDS - began)) "$line" >&2
	done
}

# Step NAME WHAT COMMAND…: says WHAT, runs COMMAND with its output in .tools/log/NAME.log, ends the
# launch with the reason if it fails. The command stays in the foreground, so that Ctrl-C reaches all but apt.
step() {
	local name=$1 what=$2 ticker='' code=0
	local log=$tools/log/$name.log
	shift 2
	say "$what…"
	in_checkout rm -f "$log"
	in_checkout touch "$log"
	if [[ -t 2 ]]; then
		# Its sleep outlives it by up to a second, and must not hold the lock.
		show_progress "$log" {lock}<&- &
		ticker=$!
		# shellcheck disable=SC2064  # this ticker's id, now
		trap "kill $ticker 2>/dev/null || true" EXIT
	fi
	"$@" >"$log" 2>&1 </dev/null || code=$?
	if [[ $ticker ]]; then
		kill "$ticker" 2>/dev/null || true
		wait "$ticker" 2>/dev/null || true
		printf '\r\e[K' >&2
	fi
	((code == 0)) || explain_failure "$what" "$code" "$log"
}

explain_failure() {
	local what=$1 code=$2 log=$3 cause
	tail -n 8 "$log" 2>/dev/null | sed 's/^/  | /' >&2 || true
	# The first complaint is the cause, those after it mostly follow from it.
	cause=$(grep -m 1 -iE '^(E|W): |(^|[: ])error: |^npm err|\*\*\* |no space left' "$log" 2>/dev/null | tr -s ' \t' ' ' |
		sed -E 's#(https?://[^/ ]+/)[^ ]*/([^/ ]+)#\1…/\2#g; /^.{161}/ s/^(.{1,158}) .*/\1 …/') || true
	fail "$what failed (${cause:-exit code $code})" "$(remedy_for "$log")"
}

# What to do, from what the log says. The full disk comes first: it makes every other error besides.
remedy_for() {
	local log=$1 free
	free=$(df --output=avail -k "$tools" 2>/dev/null | tail -n 1) || free=''
	if [[ $free && $free -lt 20480 ]] || grep -qiE 'no space left|ENOSPC|disk quota|not enough free space' "$log" 2>/dev/null; then
		echo "the disk is full: free 1 GB for $root and the system, then run the command again"
	elif grep -qiE 'read-only file system|EROFS' "$log"; then
		echo "a file system is read-only: make it writable or work in another checkout"
	elif grep -qiE 'dpkg was interrupted|unmet dependencies|fix-broken' "$log"; then
		echo 'run dpkg --configure -a; apt-get --fix-broken install, then the command again'
	elif grep -qiE 'could not get lock|unable to acquire the dpkg' "$log"; then
		echo 'another package installation is running: wait for it, then run the command again'
	elif grep -qE 'SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|\bCERT_' "$log"; then
		echo "the package registry's certificate, or a proxy's before it, is not known here, and sudo drops the variables that name yours:" \
			"run sudo --preserve-env=NODE_EXTRA_CA_CERTS,https_proxy,HTTPS_PROXY ./sluice $command"
	elif grep -qiE 'resolv|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ConnectionRefused|could not connect|unreachable|timed? ?out|ETIMEDOUT|FailedToOpenSocket' "$log"; then
		echo 'the package registry was not reached: check the network, DNS and proxy settings, then run the command again'
	elif grep -qiE '\b(401|403|407) |E401|E403|forbidden|proxy authentication|certificate' "$log"; then
		echo 'the package registry refused: check the proxy, its certificate and the registry settings, then run the command again'
	elif grep -qiE 'unable to locate package|no installation candidate|404 ' "$log"; then
		echo "this system's package sources do not have it: check /etc/apt/sources.list, run apt-get update, then run the command again"
	elif grep -qiE 'lockfile (had changes|is frozen)' "$log"; then
		echo 'package.json and bun.lock differ: run .tools/bin/bun install and commit bun.lock'
	elif grep -qiE 'permission denied|EACCES' "$log"; then
		echo "something in $root belongs to another user: give it back with chown -R, then run the command again"
	else
		echo "look at the whole log, $log, then run the command again"
	fi
}

refuse_unwritable() {
	if ((EUID == 0)); then
		fail "$root must be built and is on a read-only file system" 'make it writable, or clone it elsewhere'
	fi
	fail "$root must be built and belongs to ${owner_name:-uid $owner}" "run ./sluice build there as ${owner_name:-its owner}, or with sudo"
}
