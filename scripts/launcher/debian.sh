# Sourced by bring-up.sh and by tests: Debian packages that are unpacked beside the checkout, not installed.
# shellcheck shell=bash disable=SC2154  # in_checkout comes from steps.sh

# Where this machine gets Debian's main archive from, whatever mirror that is. A codename with a
# dash is a part of its own (bookworm-security), which holds no whole suite.
# shellcheck disable=SC2016  # $(…) is apt's format, not the shell's
debian_mirror() {
	apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' |
		awk '$2 == "Debian" && $3 !~ /-/ { print $1; exit }'
}

# fetch_debian AREA SUITE PACKAGE…: downloads packages of that suite with a source list and lists of its own and unpacks
# them into AREA/tree. The system's sources are not touched, and nothing is installed: a package would start its service.
# apt checks the archive's signature as always.
fetch_debian() {
	local area=$1 suite=$2 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror package
	shift 2
	mirror=$(debian_mirror)
	if [[ -z $mirror ]] && ((EUID == 0)); then
		apt-get -q update || true
		mirror=$(debian_mirror)
	fi
	if [[ -z $mirror ]]; then
		echo "error: no Debian archive among this system's package sources, or its lists were never read (apt-get update)"
		return 1
	fi
	[[ -e $keyring ]] || { echo "error: $keyring is missing: install debian-archive-keyring" && return 1; }
	rm -rf "$area"
	in_checkout mkdir -p "$area"/{lists/partial,cache/archives/partial,tree}
	in_checkout tee "$area/sources.list" <<<"deb [signed-by=$keyring] $mirror $suite main"
	# apt's own user cannot reach a checkout under a 0700 home, so apt stays whoever it runs as.
	local -a apt=(in_checkout env -C "$area" apt-get -q
		-o "Dir::Etc::sourcelist=$area/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$area/lists" -o "Dir::Cache=$area/cache"
		-o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
	"${apt[@]}" update || return
	"${apt[@]}" download "$@" || return
	for package in "$area"/*.deb; do
		in_checkout dpkg-deb -x "$package" "$area/tree" || return
	done
}
