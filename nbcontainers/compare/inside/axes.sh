# For images without Python: the same axes by what a shell has. A lap is timed where it is read: TOKEN lap NAME AMOUNT UNIT.
token=$1
shift
scratch=${NBC_SCRATCH:-/tmp}
exec 3>&1

folder() { # of an axis; where there is none that is said
    case $1 in volume_*) ;; *) echo "$scratch"; return ;; esac
    [ -d "$NBC_VOLUME" ] && echo "$NBC_VOLUME" && return
    echo "$token absent $1 this target shares no folder with the host" >&3
    return 1
}

allowed() { # by a file of our cgroup, of a controller or ("") of version 2; in a cgroup namespace ours is the mount's top
    while IFS=: read -r _ names path; do
        case ,$names, in *,"$1",*) ;; *) continue ;; esac
        for place in "/sys/fs/cgroup/$1$path" "/sys/fs/cgroup/$1"; do
            [ -f "$place/$2" ] && cat "$place/$2" && return
        done
    done </proc/self/cgroup
    return 1
}

processors() { # of a quota and its period, in hundredths as "0.5", "1.25"
    case $1 in '' | *[!0-9]*) echo none && return ;; esac
    part=$(($1 * 100 / $2 % 100))
    case $part in 0) part= ;; *0) part=.${part%0} ;; [0-9]) part=.0$part ;; *) part=.$part ;; esac
    echo "$(($1 / $2))$part"
}

unsynced() { # why fsync does nothing in an axis' folder, which is the first mount's on the way up
    case $1 in write_sync) [ "$NBC_UNSYNCED" ] && echo "$NBC_UNSYNCED" && return ;; esac
    up=$2
    while :; do
        found=$(grep " ${up:-/} " /proc/self/mounts)
        [ "$found" ] || [ ! "$up" ] && break
        up=${up%/*}
    done
    case $found in
    *volatile*) echo "its root is a volatile overlay, where fsync does nothing" ;;
    *" ${up:-/} tmpfs "* | *" ${up:-/} ramfs "*) echo "it is in memory, where fsync does nothing" ;;
    *) return 1 ;;
    esac
}

echo "$token begin"
for axis; do
    case $axis in
    about)
        limit=$(allowed memory memory.limit_in_bytes || allowed '' memory.max)
        quota=$(allowed cpu cpu.cfs_quota_us && allowed cpu cpu.cfs_period_us || allowed '' cpu.max)
        total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
        case $limit in
        '' | *[!0-9]* | ????????????????*) limit="none; the machine has $((total / 1024)) MiB" ;;
        *) limit="$((limit / 1048576)) MiB" ;;
        esac
        echo "$token fact cpu limit = $(processors $quota)"
        echo "$token fact processors = $(grep -c '^processor' /proc/cpuinfo)"
        echo "$token fact kernel = $(cat /proc/sys/kernel/osrelease)"
        echo "$token fact allowed processors = $(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status)"
        echo "$token fact memory limit = $limit" ;;
    integer)
        i=0
        echo "$token lap"
        while [ $i -lt 50000 ]; do i=$((i + 1)); done
        echo "$token lap integer 1 ms" ;;
    sha256)
        dd if=/dev/zero of="$scratch/sum" bs=1048576 count=16 2>/dev/null
        echo "$token lap"
        sha256sum "$scratch/sum" >/dev/null
        echo "$token lap sha256 16 MiB/s"
        rm "$scratch/sum" ;;
    fork)
        i=0
        echo "$token lap"
        while [ $i -lt 50 ]; do ( : ); i=$((i + 1)); done
        echo "$token lap fork 50 ms" ;;
    execute)
        i=0
        true=/bin/true
        [ -x $true ] || true="env true"
        echo "$token lap"
        while [ $i -lt 30 ]; do $true; i=$((i + 1)); done
        echo "$token lap execute 30 ms" ;;
    read_cached | volume_read_cached | write_cached | volume_write_cached)
        if place=$(folder $axis); then
            echo "$token lap"
            dd if=/dev/zero of="$place/cached" bs=1048576 count=32 2>/dev/null
            case $axis in
            *read_cached)
                echo "$token lap"
                dd if="$place/cached" of=/dev/null bs=1048576 2>/dev/null ;;
            esac
            echo "$token lap $axis 32 MiB/s"
            rm "$place/cached"
        fi ;;
    write_sync | volume_write_sync)
        if place=$(folder $axis) && why=$(unsynced $axis "$place"); then
            [ $axis = write_sync ] && why="$why; volume_write_sync is to be compared"
            echo "$token absent $axis $why"
        elif [ "$place" ]; then
            i=0
            echo "$token lap"
            while [ $i -lt 10 ]; do
                dd if=/dev/zero of="$place/synced" bs=4096 count=1 conv=fsync 2>/dev/null
                i=$((i + 1))
            done
            echo "$token lap $axis 10 ms"
            rm "$place/synced"
        fi ;;
    small_files)
        i=0
        echo "$token lap"
        while [ $i -lt 300 ]; do
            echo >"$scratch/small.$i"
            [ -e "$scratch/small.$i" ]
            i=$((i + 1))
        done
        rm "$scratch"/small.*
        echo "$token lap small_files 300 µs" ;;
    *) echo "$token absent $axis the image has no Python, and a shell cannot measure it" ;;
    esac
done
echo "$token end"
