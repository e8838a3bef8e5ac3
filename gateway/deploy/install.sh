#!/bin/bash
# Put the station on a Raspberry Pi (Raspberry Pi OS 64-bit) or any Debian 12; run again, it changes only what differs.
#
# usage: install.sh [install] [--from DIR|WHEEL] [options]     install, or upgrade to what lies in DIR
#        install.sh roll-back                                   the release before this one again
#        install.sh uninstall [--purge]                         --purge: configuration, keys and readings too
#
#   --tablets NET      let tablets in this network reach the board page      (192.168.50.0/24)
#   --gateways NET     more LoRaWAN gateways that send here
#   --database ADDR    an InfluxDB on another machine
#   --modbus ADDR      a Modbus TCP device
#   --mail ADDR        the mail server
#                      each may be given again; without any, what an earlier run allowed stays
#   --with-influxdb    InfluxDB 2 on this machine, from its vendor's repository
#   --with-grafana     Grafana on this machine, from its vendor's repository
#   --with-forwarder   the unit of the packet forwarder for an SX1302 HAT
#   --new-tokens       make new database tokens, and take the old ones back
#   --no-start         install, and start nothing
#   --dry-run          say what would be done, and do nothing
set -euo pipefail
shopt -s lastpipe # `... | put` counts its changes here, not in a subshell
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

here=$(cd "$(dirname "$0")" && pwd)
opt=/opt/suat etc=/etc/suat state=/var/lib/suat
units=/etc/systemd/system
influxdb_version='2.7.*' influxdb_key=24C975CBA61A024EE1B631787C3D57159FC2F927
grafana_version='13.1.*' grafana_key=B53AE77BADB630A683046005963FA27710458545

action=install from=$(cd "$here/../.." && pwd) dry=no start=yes purge=no influxdb=no grafana=no forwarder=no tokens=keep
allowed=() changed=0

fail() { echo "install.sh: $*" >&2; exit 1; }
wrong() { echo "install.sh: $*; see install.sh --help" >&2; exit 2; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
say() { echo "suat: $*"; }

run() { # a command that changes something
    changed=$((changed + 1))
    if [ $dry = yes ]; then echo "  would run: $*"; else "$@"; fi
}

put() { # FILE MODE OWNER[:GROUP], content on standard input: written only if something differs
    local file=$1 mode=$2 owner=$3 fresh
    fresh=$(mktemp)
    cat >"$fresh"
    if cmp -s "$fresh" "$file" && [ "$(stat -c '%a %U:%G' "$file")" = "${mode#0} ${owner%%:*}:${owner##*:}" ]; then
        rm -f "$fresh"
        return 0
    fi
    changed=$((changed + 1))
    if [ $dry = yes ]; then
        echo "  would write: $file ($mode, $owner)"
    else
        install -D -m "$mode" -o "${owner%%:*}" -g "${owner##*:}" "$fresh" "$file.new"
        mv -f "$file.new" "$file"
        say "wrote $file"
    fi
    rm -f "$fresh"
}

have_systemd() { [ -d /run/systemd/system ]; }
in_dry_run() { [ $dry = yes ]; }

# -- the machine

check_machine() {
    in_dry_run || [ "$(id -u)" = 0 ] || fail "run it as root: sudo $0"
    # shellcheck disable=SC1091
    . /etc/os-release
    case "${ID:-}:${VERSION_ID:-}" in
    debian:12 | raspbian:12) ;;
    *) fail "this is ${PRETTY_NAME:-an unknown system}; Debian 12 or Raspberry Pi OS 64-bit (bookworm) is needed" ;;
    esac
    case $(dpkg --print-architecture) in
    amd64 | arm64) ;;
    *) fail "a 64-bit system is needed; this one is $(dpkg --print-architecture)" ;;
    esac
}

packages() { # install those that are missing
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return 0
    run apt-get update -qq
    run apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

create_user() {
    getent group suat >/dev/null || run groupadd --system suat
    getent passwd suat >/dev/null ||
        run useradd --system --gid suat --home-dir $state --no-create-home --shell /usr/sbin/nologin suat
    folder $state 0700 suat:suat
    folder $etc 0751 root:suat
}

folder() { # PATH MODE OWNER:GROUP
    [ "$(stat -c '%a %U:%G' "$1" 2>/dev/null)" = "${2#0} $3" ] || run install -d -m "$2" -o "${3%%:*}" -g "${3##*:}" "$1"
}

# -- the program: a release a folder, /opt/suat/current points at one

release_name() { # the same sources give the same name
    if [ -f "$from" ]; then
        sha256sum "$from" | cut -c1-12
    else
        (cd "$from" && find pyproject.toml setup.py firmware/suat_* gateway/suat gateway/deploy cython_ext/suat_* hw_test/suat_* \
            dashboards/kk dashboards/ru dashboards/en docs -type f ! -name '*.so' ! -name '*.pyc' ! -name '*.c' ! -name '*.cpp' \
            -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
    fi
}

build_release() { # FOLDER
    local target=$1 work
    if in_dry_run; then
        run python3 -m venv "$target"
        run "$target/bin/pip" install "$from"
        return
    fi
    changed=$((changed + 1))
    say "building $target (some minutes on a Raspberry Pi) ..."
    rm -rf "$target" # what an interrupted run has left
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    python3 -m venv "$target"
    if [ -f "$from" ]; then
        "$target/bin/pip" install --quiet --disable-pip-version-check "$from"
    else
        tar -C "$from" --exclude=node_modules --exclude='*.so' --exclude=__pycache__ --exclude=build --exclude='*.egg-info' \
            -cf - pyproject.toml setup.py README.md LICENSE firmware gateway cython_ext hw_test | tar -C "$work" -xf -
        "$target/bin/pip" install --quiet --disable-pip-version-check "$work"
        cp -r "$from/docs" "$target/doc"
    fi
    cp -r "$here" "$target/deploy"
    rm -rf "$work"
    trap - EXIT
    touch "$target/.complete"
}

install_program() {
    local release
    release=$opt/releases/$(release_name)
    folder $opt 0755 root:root
    folder $opt/releases 0755 root:root
    [ -e "$release/.complete" ] || build_release "$release"
    in_dry_run || "$release/bin/suat" --version >/dev/null || fail "$release: the program does not start"
    [ "$(readlink $opt/current 2>/dev/null)" = "$release" ] && return 0
    if [ -L $opt/current ]; then
        back_up "$release"
        point previous "$(readlink $opt/current)"
    fi
    point current "$release"
    [ -L $opt/previous ] || point previous "$release"
}

point() { run ln -sfn "$2" "$opt/$1.new"; run mv -T "$opt/$1.new" "$opt/$1"; }

back_up() { # before another release touches the journal
    [ -e $state/journal.db ] || return 0
    folder $state/backups 0700 suat:suat
    run as_suat $opt/current/bin/suat backup --config $etc/suat.toml --passphrase-file $etc/backup.passphrase --force \
        --out "$state/backups/before-$(basename "$1").suatbackup"
}

as_suat() { setpriv --reuid suat --regid suat --clear-groups -- "$@"; }

prune_releases() { # this one and the one before are enough
    local each
    for each in "$opt"/releases/*; do
        [ -d "$each" ] || continue
        [ "$each" = "$(readlink $opt/current)" ] || [ "$each" = "$(readlink $opt/previous)" ] || run rm -rf "$each"
    done
}

# -- what lies around it

write_configuration() {
    if [ ! -e $etc/suat.toml ]; then
        { cat "$here/suat.toml"; [ $influxdb = no ] || influx_table; } | put $etc/suat.toml 0640 root:suat
        say "$etc/suat.toml is an example: fill in the station's name, its paddocks and its water points"
    fi
    [ -e $etc/backup.passphrase ] || secret | put $etc/backup.passphrase 0600 suat:suat
    put /etc/udev/rules.d/60-suat.rules 0644 root:root <"$here/60-suat.rules"
    put /usr/local/bin/suat 0755 root:root <<'WRAPPER'
#!/bin/sh
# The station's commands as its own user: what root writes the station could not read.
[ "$(id -u)" = 0 ] || exec /opt/suat/current/bin/suat "$@"
exec setpriv --reuid suat --regid suat --init-groups -- /opt/suat/current/bin/suat "$@"
WRAPPER
    if [ -x $opt/current/bin/suat ]; then
        _SUAT_COMPLETE=source_bash $opt/current/bin/suat | put /etc/bash_completion.d/suat 0644 root:root
    fi
}

secret() { head -c 24 /dev/urandom | base64 | tr -d '\n'; }

influx_table() {
    cat <<'TABLE'

[influx]
url = "http://127.0.0.1:8086"
api = "v2"
org = "upu"
token_file = "/etc/suat/influx.token"
buckets = { raw = "pasture", m15 = "pasture_15m", h1 = "pasture_1h", d1 = "pasture_1d" }
TABLE
}

write_units() {
    put $units/suat.service 0644 root:root <"$here/suat.service"
    if [ $forwarder = yes ]; then
        put $units/suat-forwarder.service 0644 root:root <"$here/forwarder/suat-forwarder.service"
        put /opt/sx1302_hal/reset_lgw.sh 0755 root:root <"$here/forwarder/reset_lgw.sh"
        [ -e $etc/forwarder.env ] || put $etc/forwarder.env 0644 root:root <"$here/forwarder/forwarder.env"
        packages gpiod
        [ -x /opt/sx1302_hal/lora_pkt_fwd ] ||
            say "build the vendor's forwarder into /opt/sx1302_hal: docs/operator.md, The station's ears"
    fi
    if [ ${#allowed[@]} -gt 0 ] || [ ! -e $units/suat.service.d/50-network.conf ]; then
        {
            echo "# Whom the station may talk to beside itself; written by install.sh, which forgets what is changed by hand."
            echo "[Service]"
            [ ${#allowed[@]} = 0 ] || printf '%s\n' "${allowed[@]}"
        } | put $units/suat.service.d/50-network.conf 0644 root:root
    fi
}

allow() { # WHAT ADDRESS
    python3 -c 'import ipaddress, sys; ipaddress.ip_network(sys.argv[1], strict=False)' "${2:-}" 2>/dev/null ||
        wrong "--$1 \"${2:-}\": give an address or a network in numbers, such as 192.168.50.0/24; systemd knows no names"
    allowed+=("# $1" "IPAddressAllow=$2")
}

start_units() {
    if ! have_systemd; then
        say "systemd does not run here: nothing was started"
        return
    fi
    run systemctl daemon-reload
    run udevadm control --reload
    run udevadm trigger --subsystem-match=tty
    [ $start = yes ] || return 0
    run systemctl enable --quiet suat.service
    if ! run systemctl restart suat.service; then
        say "the new release did not come up; its log: journalctl -u suat"
        [ "$(readlink $opt/previous)" = "$(readlink $opt/current)" ] || roll_back
        exit 1
    fi
}

roll_back() {
    local before now
    before=$(readlink $opt/previous 2>/dev/null) || fail "there is no release before this one"
    now=$(readlink $opt/current)
    [ "$before" != "$now" ] || fail "there is no release before this one"
    point current "$before"
    point previous "$now"
    if have_systemd && ! run systemctl restart suat.service; then
        fail "$before does not start either: journalctl -u suat. If it says that the journal is of a newer version, restore
the backup made before the upgrade (readings since then come again from the nodes as far as their flash reaches):
  systemctl stop suat; suat restore --force --passphrase-file $etc/backup.passphrase $state/backups/before-$(basename "$now").suatbackup"
    fi
    say "$opt/current is $before again"
}

# -- InfluxDB and Grafana, from their vendors

repository() { # NAME KEY_URL FINGERPRINT LINE
    local keyring=/etc/apt/keyrings/$1.asc fresh
    if [ ! -e "$keyring" ]; then
        if in_dry_run; then
            echo "  would fetch: $2 (fingerprint $3)"
        else
            fresh=$(mktemp)
            curl --fail --silent --show-error --location --proto '=https' --output "$fresh" "$2"
            gpg --show-keys --with-colons "$fresh" | grep -q "^fpr:*$3:" ||
                fail "$2 is not the key with the fingerprint $3; the vendor may have changed it: look before you trust it"
            put "$keyring" 0644 root:root <"$fresh"
            rm -f "$fresh"
        fi
    fi
    put "/etc/apt/sources.list.d/$1.list" 0644 root:root <<<"deb [signed-by=$keyring] $4"
}

pin() { # PACKAGE VERSION
    printf 'Package: %s\nPin: version %s\nPin-Priority: 1001\n' "$1" "$2" | put "/etc/apt/preferences.d/suat-$1" 0644 root:root
}

install_influxdb() {
    packages ca-certificates curl gpg
    repository influxdata https://repos.influxdata.com/influxdata-archive.key $influxdb_key \
        "https://repos.influxdata.com/debian stable main"
    pin influxdb2 "$influxdb_version"
    packages influxdb2
    put $units/influxdb.service.d/suat.conf 0644 root:root <<'DROPIN'
# The station's database is nobody else's business.
[Service]
Environment=INFLUXD_HTTP_BIND_ADDRESS=127.0.0.1:8086
Environment=INFLUXD_REPORTING_DISABLED=true
DROPIN
    have_systemd || { say "systemd does not run here: run install.sh again when it does, for the database's tokens"; return; }
    run systemctl daemon-reload
    run systemctl enable --quiet --now influxdb.service
    # Who asks for new tokens has the old ones taken back.
    run python3 "$here/influx_setup.py" --config $etc/suat.toml --folder $etc "--tokens=$tokens"
}

install_grafana() {
    packages ca-certificates curl gpg
    repository grafana https://apt.grafana.com/gpg.key $grafana_key "https://apt.grafana.com stable main"
    pin grafana "$grafana_version"
    packages grafana
    [ -e $etc/grafana.admin ] || secret | put $etc/grafana.admin 0640 root:grafana
    put $units/grafana-server.service.d/suat.conf 0644 root:root <"$here/grafana.conf"
    local language source=$here/../../dashboards
    for language in kk ru en; do
        put "/usr/share/suat/dashboards/$language/pasture-now.json" 0644 root:root <"$source/$language/pasture-now.json"
    done
    put /etc/grafana/provisioning/dashboards/suat.yaml 0644 root:root <"$source/provisioning/dashboards/suat.yaml"
    put /etc/grafana/provisioning/datasources/suat.yaml 0640 root:grafana <"$source/provisioning/datasources/influxdb2.yaml"
    have_systemd || return 0
    run systemctl daemon-reload
    run systemctl enable --quiet grafana-server.service
    run systemctl restart grafana-server.service
}

# -- the whole

install_all() {
    check_machine
    packages python3 python3-venv adduser
    [ -f "$from" ] || packages gcc g++ python3-dev
    create_user
    install_program
    write_configuration
    [ $influxdb = no ] || install_influxdb
    [ $grafana = no ] || install_grafana
    write_units
    if [ $changed = 0 ]; then
        say "nothing to do: everything is as it should be"
        return
    fi
    start_units
    in_dry_run || prune_releases
    say "done. Next: edit $etc/suat.toml, then: suat check; systemctl restart suat; suat doctor"
}

uninstall() {
    in_dry_run || [ "$(id -u)" = 0 ] || fail "run it as root: sudo $0 uninstall"
    if have_systemd; then
        run systemctl disable --quiet --now suat.service || true
        [ ! -e $units/suat-forwarder.service ] || run systemctl disable --quiet --now suat-forwarder.service || true
    fi
    run rm -rf $opt $units/suat.service $units/suat.service.d $units/suat-forwarder.service /etc/udev/rules.d/60-suat.rules \
        /usr/local/bin/suat /etc/bash_completion.d/suat
    ! have_systemd || run systemctl daemon-reload
    if [ $purge = yes ]; then
        run rm -rf $etc $state
        ! getent passwd suat >/dev/null || run userdel suat
        say "removed, with configuration, keys and readings"
    else
        say "removed; $etc and $state are kept (--purge removes them too). InfluxDB and Grafana are as they were"
    fi
}

while [ $# -gt 0 ]; do
    case $1 in
    install | roll-back | uninstall) action=$1 ;;
    --from)
        from=$(realpath -qe "${2:-}") || wrong "--from \"${2:-}\": give the folder of the sources, or a wheel"
        shift
        ;;
    --tablets | --gateways | --database | --modbus | --mail)
        allow "${1#--}" "${2:-}"
        shift
        ;;
    --with-influxdb) influxdb=yes ;;
    --with-grafana) grafana=yes ;;
    --with-forwarder) forwarder=yes ;;
    --new-tokens) tokens=new ;;
    --no-start) start=no ;;
    --purge) purge=yes ;;
    --dry-run) dry=yes ;;
    -h | --help) usage; exit 0 ;;
    *) wrong "unknown word \"$1\"" ;;
    esac
    shift
done
case $action in
install) install_all ;;
roll-back) in_dry_run || [ "$(id -u)" = 0 ] || fail "run it as root"; roll_back ;;
uninstall) uninstall ;;
esac
