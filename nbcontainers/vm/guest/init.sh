#!/bin/sh
# pid 1 of a virtual machine: mounts the image, runs one command in it, says how it ended, and powers off.
#
# /request (a file of its own for each run) sets MODULES, PORTS, SOURCE, TYPE, OPTIONS, OVERLAY, HOSTNAME, INPUT and the function
# `program`. Four ports lead to the host: control (words), output, errors (bytes), input (frames of a length and bytes).
mark() { echo "nbcontainers: $1" >/dev/kmsg; }
fail() { echo "failed $*" >&9; finish; }

finish() {
    dmesg | grep -E 'nbcontainers: |Run /init' | sed 's/^/mark /' >&9
    sync
    poweroff -f
    sleep 60
}

find_ports() { # those of virtio come by and by; user-mode-linux has them as terminals
    if [ "$PORTS" = uml ]; then
        for number in 0 1 2 3; do stty -F /dev/ttyS$number raw -echo; done
        control=/dev/ttyS0 output=/dev/ttyS1 errors=/dev/ttyS2 input=/dev/ttyS3
        return
    fi
    tries=0
    while :; do
        found=0
        for port in /sys/class/virtio-ports/vport*; do
            [ -e "$port/name" ] && read -r name <"$port/name" && eval "$name=/dev/${port##*/}" && found=$((found + 1))
        done
        [ $found -ge 4 ] && return
        tries=$((tries + 1))
        [ $tries -gt 500 ] && { echo "nbcontainers: no ports to the host" >/dev/console; finish; }
        usleep 2000
    done
}

mount_image() {
    [ "$OVERLAY" = 0 ] && { mount -t "$TYPE" -o "$OPTIONS" "$SOURCE" /root; return; }
    mkdir -p /lower /over
    mount -t "$TYPE" -o "$OPTIONS" "$SOURCE" /lower || return 1
    mount -t tmpfs tmpfs /over
    mkdir /over/upper /over/work
    chmod 755 /over/upper
    mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work overlay /root
}

mount_kernels() {
    mkdir -p /root/proc /root/sys /root/dev /root/etc
    mount -t proc proc /root/proc
    mount -t sysfs sysfs /root/sys
    mount --bind /dev /root/dev
    mkdir -p /root/dev/pts /root/dev/shm
    mount -t devpts -o mode=620,ptmxmode=666 devpts /root/dev/pts
    mount -t tmpfs -o mode=1777 tmpfs /root/dev/shm
    ln -sf /proc/self/fd /dev/fd
    ln -sf /proc/self/fd/0 /dev/stdin
    ln -sf /proc/self/fd/1 /dev/stdout
    ln -sf /proc/self/fd/2 /dev/stderr
    [ -d /root/sys/fs/cgroup ] && mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
}

feed() { # a length of 0 is the end; a terminal would lose what comes before it is open
    exec <$input >/run/input
    echo reading >&9
    while read -r length && [ "$length" -gt 0 ]; do
        dd bs="$length" count=1 iflag=fullblock 2>/dev/null
    done
}

obey() { # what the host says meanwhile
    while read -r word signal; do
        [ "$word" = signal ] && read -r pid </run/pid && { kill "-$signal" "-$pid" || kill "-$signal" "$pid"; }
    done <&9
}

end_all() { # what the command left behind, which has the image as its root
    for one in /proc/[0-9]*; do
        [ "$one/root" -ef /root ] && kill -9 "${one##*/}"
    done
}

mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mark init
. /request
for module in $MODULES; do insmod "/modules/$module" || echo "nbcontainers: no module $module" >/dev/console; done
find_ports
exec 9<>$control
echo ready >&9
mount_image || fail "the image could not be mounted as $TYPE"
mount_kernels
hostname "$HOSTNAME"
prepare 2>/dev/console || fail "$PROBLEM"
mkfifo /run/output /run/errors
cat /run/output >$output &
copiers=$!
cat /run/errors >$errors &
copiers="$copiers $!"
if [ "$INPUT" = 1 ]; then mkfifo /run/input; feed & else ln -s /dev/null /run/input; fi
obey 2>/dev/null &
mark command
( # not in the background: a shell has such programs ignore SIGINT
    read -r pid rest </proc/self/stat
    echo "$pid" >/run/pid
    echo started >&9
    program
) </run/input >/run/output 2>/run/errors
status=$?
mark end
end_all 2>/dev/null
wait $copiers
echo "exit $status" >&9
finish
