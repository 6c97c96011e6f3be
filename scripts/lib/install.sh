# For sourcing: `need_swift`, and `install_missing PACKAGE…`, which installs Debian packages that are missing. All it says goes to stderr.

# Fails with a reason where there is no Swift toolchain of the version that Package.swift asks for.
need_swift() {
    if ! command -v swift >/dev/null; then
        echo "error: no 'swift' on PATH: install a toolchain of Swift 6.2 or later (https://www.swift.org/install)" >&2
        return 1
    fi
}

# Whether what the package brings is there, however it came: so that a machine without apt can be prepared by hand.
is_installed() {
    case $1 in
        libuv1-dev) [ -e /usr/include/uv.h ] || { command -v pkg-config >/dev/null && pkg-config --exists libuv; } ;;
        netcat-openbsd) command -v nc >/dev/null ;;
        bind9-dnsutils) command -v dig >/dev/null ;;
        nftables) command -v nft >/dev/null ;;
        iproute2) command -v ip >/dev/null && command -v tc >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

install_missing() {
    local missing=() package
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0

    if ! command -v apt-get >/dev/null; then
        echo "error: missing: ${missing[*]} (names of Debian packages), and there is no apt-get here: install them by hand" >&2
        return 1
    fi
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "error: missing: ${missing[*]}, and neither root nor sudo to install them: run 'apt-get install ${missing[*]}' as root" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "installing ${missing[*]}" >&2
    if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >&2; then
        echo "error: apt-get could not install ${missing[*]}: see above" >&2
        return 1
    fi
    for package in "${missing[@]}"; do
        if ! is_installed "$package"; then
            echo "error: $package was installed, but what it should bring is not there" >&2
            return 1
        fi
    done
}
