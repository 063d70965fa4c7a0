#!/bin/sh
# Runs a command as a container would: a root file system that is read-only all over, tmpfs where docker-compose.yml
# has them, a user that is not root, no capabilities, no new privileges. It needs a mount namespace of its own.
#   read_only.sh ROOT REPOSITORY UID "TMPFS ..." command ...
set -eu
root=$1 repository=$2 user=$3 folders=$4
shift 4
mount --rbind / "$root"
mount -o remount,bind,ro "$root"
for folder in $folders; do
    path=${folder%%:*}
    options=mode=1777
    case $folder in *:*) options=${folder#*:} ;; esac
    if [ ! -d "$root$path" ]; then
        # This machine has no such folder, and gets none: a tmpfs above it has.
        mount -t tmpfs none "$root${path%/*}"
        mkdir "$root$path"
        mount -o remount,ro "$root${path%/*}"
    fi
    mount -t tmpfs -o "$options" none "$root$path"
done
# The repository is the image here; a tmpfs may have hidden it.
mkdir -p "$root$repository"
mount --bind "$repository" "$root$repository"
mount -o remount,bind,ro "$root$repository"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups \
    --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
