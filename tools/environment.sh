# Sourced by the other tools: makes .venv with all that demo and tests need, once; does nothing when it is up to date.
# After it, $python is the environment's Python.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$root/.venv/bin/python"

find_python() {
    # Each candidate is run before it is believed: a name on the PATH may be a shim that fails.
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13; do
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "neurodeploy needs Python 3.11 or newer with the venv module, and none was found on the PATH." >&2
    echo "Install it (Debian: apt-get install python3 python3-venv) and run this again." >&2
    return 1
}

prepare_environment() {
    local stamp="$root/.venv/.ready" wanted base
    wanted="$(cat "$root/pyproject.toml" "$root/tools/constraints.txt" "$root/tools/environment.sh" | cksum)"
    if [ -x "$python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    base="$(find_python)"
    echo "Making the environment in .venv (once; this takes a few minutes) ..." >&2
    [ -x "$python" ] || "$base" -m venv "$root/.venv"
    "$python" -m pip install --quiet --disable-pip-version-check -c "$root/tools/constraints.txt" -e "$root[test,check]"
    echo "$wanted" >"$stamp"
}

prepare_lava() {
    # Lava needs a Python 3.10 of its own; without one, the reason is printed and the rest goes on.
    if ! "$python" -m neurodeploy install lava >/dev/null; then
        echo "Going on without Lava." >&2
    fi
}

prepare_frameworks() {
    # The training frameworks, for exporting from them and for measuring beside them. sinabs and rockpool ask for an older
    # nir than ours and run with a newer one, so they come first and ours is installed over them.
    frameworks="$root/.venv-frameworks/bin/python"
    local stamp="$root/.venv-frameworks/.ready" wanted pip
    wanted="$(cat "$root/pyproject.toml" "$root/tools/constraints.txt" "$root/tools/environment.sh" | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    echo "Making the environment of the frameworks in .venv-frameworks (once; this takes a few minutes) ..." >&2
    [ -x "$frameworks" ] || "$(find_python)" -m venv "$root/.venv-frameworks"
    pip=("$frameworks" -m pip install --quiet --disable-pip-version-check -c "$root/tools/constraints.txt")
    "${pip[@]}" snntorch==1.0.0 norse==1.1.0 spikingjelly==2.0.0 sinabs==3.1.3 rockpool==3.1.0
    "${pip[@]}" -e "$root[test]"
    echo "$wanted" >"$stamp"
}

prepare_loihi_judges() {
    # nengo-loihi and brian2-loihi need numpy 1, and so a Python 3.10 of their own; $judges is its interpreter.
    judges="$root/.venv-loihi/bin/python"
    local stamp="$root/.venv-loihi/.ready" wanted base
    wanted="$(cksum <"$root/tools/environment.sh")"
    if [ -x "$judges" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    base="$("$python" -c 'from neurodeploy.backends.lava.install import find_python310; print(find_python310("nengo-loihi"))')"
    echo "Making the environment of nengo-loihi and brian2-loihi in .venv-loihi (once) ..." >&2
    [ -x "$judges" ] || "$base" -m venv "$root/.venv-loihi"
    "$judges" -m pip install --quiet --disable-pip-version-check \
        numpy==1.26.4 scipy==1.15.3 nengo==4.1.0 nengo-loihi==1.1.0 brian2==2.9.0 brian2-loihi==0.5.2
    echo "$wanted" >"$stamp"
}
