#!/bin/sh
# Install the programs that tests/interop, tests/crash and bench drive, from Debian's packages.
# Does nothing when all are there; needs root otherwise (without root the tests that miss a program are skipped and say so).
set -eu
# swaks speaks TLS by libnet-ssleay-perl
packages="curl dovecot-imapd dovecot-lmtpd dovecot-pop3d fetchmail getmail6 isync libnet-ssleay-perl mpop msmtp offlineimap3 openssl postfix sasl2-bin strace swaks"
missing=
command -v apt-get >/dev/null || { echo "no apt-get: tests that miss a program are skipped" >&2; exit 0; }
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "not root, so not installed:$missing" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
# The packages' own daemons stay down: the tests start private ones.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
# shellcheck disable=SC2086 # a list of words
if apt-get update -q && apt-get install -q -y --no-install-recommends $missing; then exit 0; fi
[ -z "${CI:-}" ] || exit 1
echo "could not install$missing: the tests that miss them are skipped" >&2
