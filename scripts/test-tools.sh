#!/usr/bin/env bash
# Makes sure the real programs that the tests and benchmarks drive are on this machine. Installs what is
# missing where that can be done without asking (apt-get as root or by `sudo -n`), otherwise says per system
# what to install and fails. Does nothing, quickly, when everything is there.
#   test-tools.sh        for the tests
#   test-tools.sh node   for a Kubernetes node without docker, see e2e/cluster
set -euo pipefail

# Debian keeps the mosquitto broker in sbin, which a plain user's PATH leaves out.
PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
# ... and the servers of PostgreSQL in a folder for each version.
for folder in /usr/lib/postgresql/*/bin; do PATH="$PATH:$folder"; done

TOOLS=(mosquitto_pub mosquitto_sub mosquitto redis-server postgres mariadbd haproxy promtool java mvn openssl curl stdbuf)
readonly NODE_TOOLS=(containerd runc /usr/lib/cni/bridge iptables conntrack ip nsenter unshare redis-server openssl)
readonly POLICY=/usr/sbin/policy-rc.d

missing_tools() {
  local tool
  for tool in "${TOOLS[@]}"; do
    command -v "$tool" >/dev/null || echo "$tool"
  done
}

# package_of <manager> <tool>
package_of() {
  case "$1:$2" in
    apt:mosquitto_* | apk:mosquitto_*) echo mosquitto-clients ;;
    *:mosquitto*) echo mosquitto ;;
    apt:redis-server) echo redis-server ;;
    *:redis-server) echo redis ;;
    apt:postgres | brew:postgres | apk:postgres) echo postgresql ;;
    *:postgres) echo postgresql-server ;;
    apt:mariadbd | dnf:mariadbd) echo mariadb-server ;;
    *:mariadbd) echo mariadb ;;
    apt:java) echo default-jre-headless ;;
    dnf:java) echo java-latest-openjdk-headless ;;
    apk:java) echo openjdk21-jre-headless ;;
    brew:java) echo openjdk ;;
    *:mvn) echo maven ;;
    *:promtool) echo prometheus ;;
    *:stdbuf) echo coreutils ;;
    *:/usr/lib/cni/bridge) echo containernetworking-plugins ;;
    apt:ip) echo iproute2 ;;
    *:ip) echo iproute ;;
    *:nsenter | *:unshare) echo util-linux ;;
    *) echo "$2" ;;
  esac
}

packages_for() {
  local manager=$1 tool
  for tool in "${@:2}"; do package_of "$manager" "$tool"; done | sort -u | paste -sd ' ' -
}

explain() {
  {
    echo "hublet: the tests need these programs, which are missing here: $*"
    echo 'Install them with the line for your system, then run this again:'
    echo "  Debian, Ubuntu   sudo apt-get install $(packages_for apt "$@")"
    echo "  Fedora, RHEL     sudo dnf install $(packages_for dnf "$@")"
    echo "  Alpine           sudo apk add $(packages_for apk "$@")"
    echo "  macOS            brew install $(packages_for brew "$@")"
    echo 'The tests start their own programs: a service that a package started is not needed.'
    echo 'Java, which runs the Kafka broker, has to be 17 or later.'
    echo 'Redis has to be 7.0 or later; Valkey does as well, when it answers to redis-server.'
  } >&2
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# The package starts a broker on port 1883 by itself, which would stand in the way of `make run`. A
# policy-rc.d that answers 101 is how Debian lets an administrator forbid that while packages are set up.
install_by_apt() {
  if [ ! -e "$POLICY" ]; then
    trap 'as_root rm -f "$POLICY"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null || return 1
    as_root chmod 755 "$POLICY" || return 1
  fi
  # A list that cannot be refreshed may still name packages that can be had.
  as_root apt-get update -qq || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Only a service that this script's own installation brought is switched off for the next boot too.
keep_service_off() {
  if [ -d /run/systemd/system ]; then
    as_root systemctl disable --now "$1.service" >/dev/null 2>&1 || true
  fi
}

readonly S3_SERVER=github.com/versity/versitygw/cmd/versitygw@v1.8.0
readonly COPY_JARS=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
readonly ZLINT=github.com/zmap/zlint/v3/cmd/zlint@v3.7.3
readonly NATS_SERVER=github.com/nats-io/nats-server/v2@v2.15.2
TOOLS_CACHE="$(cd "$(dirname "$0")/.." && pwd)/.cache/tools"
readonly TOOLS_CACHE

# ensure_go_tool <program> <what it is> <module>: those that no distribution has, or an old one only, are built
# once, which takes a minute.
ensure_go_tool() {
  local program=$1 what=$2 module=$3
  if command -v "$program" >/dev/null || [ -x "$TOOLS_CACHE/$program" ]; then return 0; fi
  if ! command -v go >/dev/null; then
    echo "hublet: the tests need $what $program, which is missing here: put it into PATH, or install Go" >&2
    echo "(1.25 or later) and run this again: it is then built by  go install $module" >&2
    return 1
  fi
  echo "hublet: building $what $program for the tests (about a minute)"
  GOBIN="$TOOLS_CACHE" go install "$module"
}

# The Kafka broker is a set of jars (45, 43 MB); which ones says test-support/kafka/pom.xml.
ensure_kafka() {
  local jars="$TOOLS_CACHE/kafka" pom version
  pom="$(dirname "$0")/../test-support/kafka/pom.xml"
  version="$(sed -n 's|.*<version>\(.*\)</version>.*|\1|p' "$pom" | tail -n 1)"
  if [ -e "$jars/kafka_2.13-$version.jar" ]; then return 0; fi
  echo 'hublet: fetching the Kafka broker for the tests'
  rm -rf "$jars" "$jars.new"
  mvn --quiet --batch-mode --file "$pom" "$COPY_JARS" -DincludeScope=runtime -DoutputDirectory="$jars.new"
  mv "$jars.new" "$jars"
}

main() {
  if [ "${1:-}" = node ]; then
    TOOLS=("${NODE_TOOLS[@]}")
    ensure_packages
    return
  fi
  ensure_packages
  ensure_go_tool versitygw 'the S3 server' "$S3_SERVER"
  ensure_go_tool zlint 'the linter of certificates' "$ZLINT"
  ensure_go_tool nats-server 'the NATS server' "$NATS_SERVER"
  ensure_kafka
}

ensure_packages() {
  local missing packages
  # Word splitting is wanted: no name has a space, and the bash of macOS has no mapfile.
  # shellcheck disable=SC2207
  missing=($(missing_tools))
  [ "${#missing[@]}" -gt 0 ] || return 0

  if ! command -v apt-get >/dev/null || ! can_be_root; then
    explain "${missing[@]}"
    return 1
  fi
  read -ra packages <<<"$(packages_for apt "${missing[@]}")"
  echo "hublet: installing ${packages[*]}"
  if ! install_by_apt "${packages[@]}"; then
    explain "${missing[@]}"
    return 1
  fi
  case " ${packages[*]} " in *' mosquitto '*) keep_service_off mosquitto ;; esac
  case " ${packages[*]} " in *' redis-server '*) keep_service_off redis-server ;; esac
  case " ${packages[*]} " in *' postgresql '*) keep_service_off postgresql ;; esac
  case " ${packages[*]} " in *' mariadb-server '*) keep_service_off mariadb ;; esac
  case " ${packages[*]} " in *' prometheus '*) keep_service_off prometheus ;; esac
  case " ${packages[*]} " in *' haproxy '*) keep_service_off haproxy ;; esac
  case " ${packages[*]} " in *' containerd '*) keep_service_off containerd ;; esac

  # shellcheck disable=SC2207
  missing=($(missing_tools))
  if [ "${#missing[@]}" -gt 0 ]; then
    explain "${missing[@]}"
    return 1
  fi
}

main "$@"
