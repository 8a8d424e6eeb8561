#!/usr/bin/env bash
# Arranges payments-api, recon-worker and payments-ui side by side under /workspaces.
#
# In a checkout with all of them, it creates links. If only payments-api is checked out, it clones the
# others beside it, from PAYMENTS_UI_REPO, RECON_WORKER_REPO and PAYMENTS_CORE_REPO if set, else from
# the host of payments-api's origin. It may run repeatedly. For a repository that it cannot clone (no
# network, no access) it prints what to do, and does not fail.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
workspaces=${WORKSPACES:-$(dirname "$checkout")}
services=(payments-api recon-worker payments-ui)
clone_seconds_max=180
left_undone=0

say() { printf 'setup: %s\n' "$*"; }
warn() { printf 'setup: %s\n' "$*" >&2; left_undone=1; }

# A URL may contain a token.
redacted() { sed -E 's#://[^/@]+@#://***@#g' <<<"$1"; }

link() {
    local target=$1 name=$2 place=$workspaces/$2
    if [[ $place -ef $target ]]; then
        say "$name: in place"
    elif [[ -L $place ]]; then
        # A link of ours from a checkout that has moved.
        ln -sfn "$(realpath --relative-to="$workspaces" "$target")" "$place"
        say "$name: linked anew to $target"
    elif [[ -e $place ]]; then
        warn "$place already exists and is not a link to this checkout: move it away and run this again"
    else
        ln -s "$(realpath --relative-to="$workspaces" "$target")" "$place"
        say "$name: linked to $target"
    fi
}

# Prints the URL of another repository of the same host and owner as payments-api's origin.
beside_origin() {
    local name=$1 origin suffix=
    origin=$(git -C "$checkout" remote get-url origin 2>/dev/null) || return 1
    origin=${origin%/}
    [[ $origin == *.git ]] && suffix=.git
    # git@host:payments-api.git has no slash before the name.
    if [[ $origin == */* ]]; then
        printf '%s/%s%s' "${origin%/*}" "$name" "$suffix"
    else
        printf '%s:%s%s' "${origin%:*}" "$name" "$suffix"
    fi
}

clone() {
    local name=$1 variable place=$workspaces/$1 url scratch error
    variable=$(tr 'a-z-' 'A-Z_' <<<"$name")_REPO
    if [[ -e $place/.git ]]; then
        say "$name: in place"
        return
    elif [[ -e $place ]]; then
        warn "$place already exists and is not a git checkout: move it away and run this again"
        return
    fi
    url=${!variable:-$(beside_origin "$name" || true)}
    if [[ -z $url ]]; then
        warn "$name: payments-api has no remote called origin to derive its address from: set $variable"
        return
    fi
    # Clone beside it, then rename, so that an interrupted clone never looks complete.
    scratch=$(mktemp -d "$workspaces/.clone.XXXXXX")
    if error=$(GIT_TERMINAL_PROMPT=0 timeout "$clone_seconds_max" \
        git clone --quiet "$url" "$scratch/$name" 2>&1); then
        mv "$scratch/$name" "$place"
        say "$name: cloned from $(redacted "$url")"
    else
        warn "$name: cannot clone $(redacted "$url"): $(redacted "$(tail -n 1 <<<"$error")")"
        warn "$name: set $variable to its address, or come online, and run $0 again"
    fi
    rm -rf "$scratch"
}

# The parent folder of a mounted checkout belongs to root, and the container's user may use sudo.
if [[ ! -w $workspaces ]] && sudo -n true 2>/dev/null; then
    sudo -n chown "$(id -u):$(id -g)" "$workspaces"
fi
if [[ ! -w $workspaces ]]; then
    warn "$workspaces is not writable: the services stay in $checkout"
elif [[ -f $checkout/payments-api/pyproject.toml ]]; then
    for name in "${services[@]}"; do link "$checkout/$name" "$name"; done
elif [[ -d $checkout/src/payments_api ]]; then
    link "$checkout" payments-api
    for name in payments-core recon-worker payments-ui; do clone "$name"; done
else
    warn "$checkout is neither the whole repository nor payments-api: nothing to arrange"
fi
((left_undone)) && say "not everything is arranged; the lines above say what to do"
exit 0
