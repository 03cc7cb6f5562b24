#!/usr/bin/env bash
# Build code-server 4.100.3 (VS Code 1.100.3 in a browser) for the end-to-end test, without any prebuilt download.
#   vscode-extension/e2e/setup.sh [FOLDER]        default: ~/.cache/ucoder-dev/code-server-4.100.3
# Needs Node 20, a C++ compiler, and Debian's libkrb5-dev, pkg-config, ripgrep and chromium. Steps done are not repeated.
set -euo pipefail

version=4.100.3
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/ucoder-dev/code-server-$version}
log=$folder/setup.log
mkdir -p "$folder/done"
cd "$folder"

# Native modules are compiled against the headers of the installed Node: nothing is fetched for them.
nodedir=$(dirname "$(dirname "$(node -p process.execPath)")")
[ -e "$nodedir/include/node/node.h" ] && export npm_config_nodedir=$nodedir

step() { # NAME COMMAND...: run once, into the log
  local name=$1
  shift
  [ -e "done/$name" ] && return
  echo "code-server: $name"
  if ! (set -e; "$@") >>"$log" 2>&1; then
    echo "Step '$name' failed; its last lines ($log):" >&2
    tail -n 20 "$log" >&2
    exit 1
  fi
  touch "$folder/done/$name"
}

packages() {
  local missing=()
  for each in libkrb5-dev pkg-config ripgrep chromium; do
    dpkg -s "$each" >/dev/null 2>&1 || missing+=("$each")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq "${missing[@]}"; else
    echo "Please run this line, then again:  sudo apt-get install -y ${missing[*]}"; exit 1; fi
}
fetch() { npm init -y && npm install --ignore-scripts "code-server@$version" playwright-core@1; }
argon() { cd node_modules/argon2 && npx --yes node-pre-gyp install --build-from-source --nodedir="$nodedir"; }
server() { cd node_modules/code-server/lib/vscode && npm install --omit=dev --ignore-scripts; }
native() {
  cd node_modules/code-server/lib/vscode
  # node-pty's post-install step fails after its binary is built: harmless, so the binaries are what is checked.
  npm rebuild @vscode/spdlog @vscode/deviceid native-watchdog node-pty kerberos || true
  for binary in @vscode/spdlog native-watchdog node-pty; do
    find "node_modules/$binary" -name '*.node' | grep -q . || { echo "$binary has no binary"; exit 1; }
  done
}
watcher() { cd node_modules/code-server/lib/vscode && npm install --no-save --ignore-scripts @parcel/watcher-linux-x64-glibc@2.5.1; }
links() {
  cd node_modules/code-server/lib/vscode
  ln -sfn node_modules node_modules.asar
  mkdir -p node_modules/@vscode/ripgrep/bin && ln -sfn /usr/bin/rg node_modules/@vscode/ripgrep/bin/rg
}
extensions() { cd node_modules/code-server/lib/vscode/extensions && npm install --omit=dev --ignore-scripts; }

for name in packages fetch argon server native watcher links extensions; do step "$name" "$name"; done
echo "code-server is ready in $folder"
