#!/bin/sh
# usage: packaging/try.sh ARCHIVE
#
# Builds Debian packages from an archive that "make dist" made, has lintian look
# at them, installs them in a new Debian of their own, and removes them again.
# Needs root, debhelper, lintian, mmdebstrap, and a mirror in the network; gives
# 77 if one is missing.
#
#     DEBIAN_SUITE    of the new Debian (default: bookworm)
#     DEBIAN_MIRROR   where it comes from (default: http://deb.debian.org/debian)
set -eu

say()
{
	echo "== $*"
}

skip()
{
	echo "try.sh: $*" >&2
	exit 77
}

[ $# -eq 1 ] || {
	sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
	exit 2
}
archive=$(realpath "$1")
suite=${DEBIAN_SUITE-bookworm}
mirror=${DEBIAN_MIRROR-http://deb.debian.org/debian}

[ "$(id -u)" -eq 0 ] || skip 'a new Debian needs root'
for tool in dh dpkg-buildpackage lintian mmdebstrap; do
	command -v "$tool" >/dev/null ||
		skip "$tool is missing (Debian: debhelper lintian mmdebstrap)"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

say 'building'
mkdir source packages
tar -xf "$archive" -C source --strip-components=1
cp -r source/packaging/debian source/debian
# The tests have been run where the archive was made.
(cd source && DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" \
	dpkg-buildpackage -us -uc -b >../build.log 2>&1) || {
	tail -n 40 build.log
	exit 1
}
cp ./*.deb packages/
rm -f packages/*-dbgsym_*
ls packages

say 'lintian'
lintian --allow-root --fail-on error ./*.changes ||
	exit 1

say "a new $suite"
mmdebstrap --quiet --variant=minbase "$suite" root "$mirror" 2>bootstrap.log || {
	tail -n 3 bootstrap.log >&2
	skip "no $suite from $mirror"
}

# In the new Debian.
inside()
{
	chroot root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
		DEBIAN_FRONTEND=noninteractive "$@"
}

# What is there, but for what dpkg and apt write about themselves.
list()
{
	inside find / -xdev \( -path /proc -o -path /sys -o -path /dev \
		-o -path /tmp -o -path /packages -o -path /var/cache \
		-o -path /var/lib/apt -o -path /var/lib/dpkg \
		-o -path /var/log \) -prune -o -print | sort
}

mkdir root/packages
cp packages/*.deb root/packages
# First what the packages need, so that only they make a difference.
names=$(for package in packages/*.deb; do
	dpkg-deb -f "$package" Package
done | xargs)
inside apt-get -q update >apt.log 2>&1
# shellcheck disable=SC2016 # it is the other shell's
inside sh -c 'apt-get -q -y --no-install-recommends install \
	$(apt-get -s --no-install-recommends install /packages/*.deb |
		sed -n "s/^Inst \([^ ]*\).*/\1/p" | grep -vxF "$1")' sh \
	"$(echo "$names" | tr ' ' '\n')" >>apt.log 2>&1 || {
	tail -n 20 apt.log
	exit 1
}
list >before

say "installing $names"
inside sh -c 'apt-get -q -y --no-install-recommends install /packages/*.deb' \
	>>apt.log 2>&1 || {
	tail -n 20 apt.log
	exit 1
}
inside evd --version
inside evd --ensure --socket /tmp/socket --exit-idle 5
inside env EVD_SOCKET=/tmp/socket evctl version
inside env EVD_SOCKET=/tmp/socket python3 -m pyev
inside getent passwd evd
list >installed
comm -13 before installed | grep -v -e /usr/share/doc/ -e __pycache__

say 'removing'
# shellcheck disable=SC2086 # a list of words
inside apt-get -q -y purge $names >>apt.log 2>&1 || {
	tail -n 20 apt.log
	exit 1
}
list >after
# Debian leaves users where they are: files may be theirs.
comm -13 before after | grep -v '^/etc/\(passwd\|group\|shadow\|gshadow\)-$' >left ||
	:
[ ! -s left ] || {
	echo 'left behind:'
	cat left
	exit 1
}
say 'all is well'
