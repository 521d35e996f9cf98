#!/bin/sh
# Install the programs that tests/interop, tests/crash and bench drive, from Debian's packages. Needs root; does nothing when all are there.
set -eu
packages="curl dovecot-imapd dovecot-lmtpd dovecot-pop3d fetchmail getmail6 mpop msmtp openssl postfix strace swaks"
missing=
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
export DEBIAN_FRONTEND=noninteractive
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
apt-get update -q
# Packages would start their daemons; the tests start private ones of their own.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.postwren
chmod 755 /usr/sbin/policy-rc.d.postwren
[ -e /usr/sbin/policy-rc.d ] || { mv /usr/sbin/policy-rc.d.postwren /usr/sbin/policy-rc.d; trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }
rm -f /usr/sbin/policy-rc.d.postwren
# shellcheck disable=SC2086 # a list of words
apt-get install -q -y --no-install-recommends $missing
