#!/bin/sh
# Runs a command as a container would: a root file system that is read-only all over, tmpfs where docker-compose.yml
# has them, a user that is not root, no capabilities, no new privileges. It needs a mount namespace of its own.
#   read_only.sh ROOT REPOSITORY PYTHON UID "TMPFS ..." command ...
set -eu
root=$1 repository=$2 python=$3 user=$4 folders=$5
shift 5
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
# Python may lie where only root may look, in root's home for one: a tmpfs there opens the way.
path= opened=
for name in $(echo "$python" | tr / ' '); do
    path=$path/$name
    case $(stat -c %A "$path") in *[xt]) ;; *) mount -t tmpfs none "$root$path"; opened=$path; break ;; esac
done
# Both are the image here; a tmpfs may have hidden them.
for path in "$python" "$repository"; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
    mount -o remount,bind,ro "$root$path"
done
[ -z "$opened" ] || mount -o remount,ro "$root$opened"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups \
    --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
