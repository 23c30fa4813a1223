#!/bin/sh
# Lays out the container's root file system: stage-root.sh PROGRAM DIRECTORY, in the project's folder. No shell, no package
# manager, no certificates (the program brings its own roots); only names for its user, and the order names are looked up in.
set -eu
program=$1
root=$2

mkdir -p "$root/usr/bin" "$root/usr/share" "$root/etc"
cp "$program" "$root/usr/bin/llm-gateway"
cp -R public "$root/usr/share/llm-gateway"

ldd "$program" | grep -o '/[^ )]*' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done

echo 'gateway:x:65532:65532:LLM Gateway:/:/sbin/nologin' >"$root/etc/passwd"
echo 'gateway:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
