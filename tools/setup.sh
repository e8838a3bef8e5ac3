#!/bin/sh
# Set up what `make demo` or `make test` needs, or what `make bench` needs on top of `test`; does nothing the second time.
# usage: tools/setup.sh demo|test|bench
set -eu
cd "$(dirname "$0")/.."
role=${1:?usage: tools/setup.sh demo|test|bench}
venv=.venv
stamp=$venv/.suat-$role

if [ "$role" = bench ]; then # the peers alone: everything else is there already
    [ -f "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ] && exit 0
    echo "Installing what the filters are measured beside ..."
    $venv/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' |
        $venv/bin/pip install -qq --disable-pip-version-check -r /dev/stdin
    touch "$stamp"
    exit 0
fi

case $role in
demo) extra=demo; packages="gcc:gcc g++:g++ python3:python3" ;;
test) extra=dev
      packages="gcc:gcc g++:g++ python3:python3 influxd:influxdb nginx:nginx-light chromium:chromium tshark:tshark
                node:nodejs npm:npm mosquitto:mosquitto systemd-analyze:systemd ip:iproute2 shellcheck:shellcheck
                faketime:faketime aarch64-linux-gnu-g++:g++-aarch64-linux-gnu qemu-aarch64:qemu-user" ;;
*) echo "tools/setup.sh: unknown role '$role'; give demo, test or bench" >&2; exit 2 ;;
esac

newest() { # the sources that decide whether the installed extension and dependencies are still right
    find pyproject.toml setup.py tools/setup.sh cython_ext/suat_filters cython_ext/suat_samples \
        -type f ! -name '*.so' ! -name '*.py' ! -name '*.pyi' ! -name '*.c' ! -path '*/__pycache__/*' -newer "$stamp" | head -n 1
}

lacking=""
for pair in $packages; do
    PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || lacking="$lacking ${pair#*:}"
done
python3 -c 'import venv, ensurepip' 2>/dev/null || lacking="$lacking python3-venv"
python3 -c 'import sysconfig, pathlib, sys; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' \
    2>/dev/null || lacking="$lacking python3-dev"
if [ "$role" = test ] && [ ! -f /usr/include/openssl/evp.h ]; then
    lacking="$lacking libssl-dev" # without it frames are opened by Python: dearer, and the other half untested
fi
if [ "$role" = test ] && [ -z "$(find /usr/share/fonts -name 'NotoSans-Regular*' 2>/dev/null | head -n 1)" ]; then
    lacking="$lacking fonts-noto-core"
fi
if [ -n "$lacking" ]; then
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else
        echo "Missing:$lacking. Run: sudo apt-get install$lacking, then the same command again." >&2
        exit 1
    fi
    echo "Installing$lacking ..."
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $lacking >/dev/null
fi

if [ ! -f "$stamp" ] || [ -n "$(newest)" ]; then
    echo "Setting up Python's side (a minute the first time) ..."
    [ -x $venv/bin/python ] || python3 -m venv $venv
    $venv/bin/pip install -qq --disable-pip-version-check --editable ".[$extra]"
    if [ "$role" = test ]; then # the boards' own stubs, each in a folder of its own
        for chip in rp2 esp32; do
            rm -rf "$venv/stubs-$chip"
            $venv/bin/pip install -qq --disable-pip-version-check --target "$venv/stubs-$chip" "micropython-$chip-stubs==1.29.*"
        done
    fi
    touch "$stamp"
fi

[ "$role" = test ] || exit 0
for folder in firmware/tests dashboards/tests; do
    if [ ! -d $folder/node_modules ] || [ $folder/package.json -nt $folder/node_modules ]; then
        echo "Installing the JavaScript peers of $folder ..."
        (cd $folder && npm install --silent --no-audit --no-fund --no-package-lock)
        touch $folder/node_modules
    fi
done
