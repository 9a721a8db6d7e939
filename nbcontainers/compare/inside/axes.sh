# For images without Python: the same axes by what a shell has. A lap is timed where it is read: TOKEN lap NAME AMOUNT UNIT.
token=$1
shift
scratch=${NBC_SCRATCH:-/tmp}
echo "$token begin"
for axis; do
    case $axis in
    about)
        limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null)
        total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
        case $limit in
        '' | *[!0-9]* | ????????????????*) limit="none; the machine has $((total / 1024)) MiB" ;;
        *) limit="$((limit / 1048576)) MiB" ;;
        esac
        echo "$token fact kernel = $(cat /proc/sys/kernel/osrelease)"
        echo "$token fact allowed processors = $(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status)"
        echo "$token fact memory limit = $limit" ;;
    integer)
        i=0
        echo "$token lap"
        while [ $i -lt 50000 ]; do i=$((i + 1)); done
        echo "$token lap integer 1 ms" ;;
    sha256)
        echo "$token lap"
        dd if=/dev/zero bs=1048576 count=16 2>/dev/null | sha256sum >/dev/null
        echo "$token lap sha256 16 MiB/s" ;;
    fork)
        i=0
        echo "$token lap"
        while [ $i -lt 50 ]; do ( : ); i=$((i + 1)); done
        echo "$token lap fork 50 ms" ;;
    execute)
        i=0
        echo "$token lap"
        while [ $i -lt 30 ]; do env true; i=$((i + 1)); done
        echo "$token lap execute 30 ms" ;;
    read_cached)
        dd if=/dev/zero of="$scratch/read" bs=1048576 count=16 2>/dev/null
        cat "$scratch/read" >/dev/null
        echo "$token lap"
        dd if="$scratch/read" of=/dev/null bs=1048576 2>/dev/null
        echo "$token lap read_cached 16 MiB/s"
        rm "$scratch/read" ;;
    write_sync | volume_write_sync)
        place=$scratch
        [ $axis = write_sync ] || place=$NBC_VOLUME
        if [ -d "$place" ]; then
            i=0
            echo "$token lap"
            while [ $i -lt 10 ]; do
                dd if=/dev/zero of="$place/synced" bs=4096 count=1 conv=fsync 2>/dev/null
                i=$((i + 1))
            done
            echo "$token lap $axis 10 ms"
            rm "$place/synced"
        else
            echo "$token absent $axis this target shares no folder with the host"
        fi ;;
    small_files)
        i=0
        echo "$token lap"
        while [ $i -lt 300 ]; do : >"$scratch/small"; i=$((i + 1)); done
        echo "$token lap small_files 300 µs"
        rm "$scratch/small" ;;
    *) echo "$token absent $axis the image has no Python, and a shell cannot measure it" ;;
    esac
done
echo "$token end"
