#!/bin/sh
# pid 1 of a virtual machine: mounts the image, runs commands in it, says how they ended, and powers off.
#
# /request (a file of its own for each machine) sets MODULES, PORTS, NAMES, LANES, SOURCE, TYPE, OPTIONS, OVERLAY, HOSTNAME and the
# function `prepare`. Ports lead to the host: control (words), kernel (its log), and of each lane, which carries a command,
# output, errors (bytes), input (frames of a length and bytes) and terminal. /run/session.LANE sets TOKEN, READS, SIZE and
# the function `program`; that of lane 0 is the machine's own command, whose end is the machine's.
mark() { echo "nbcontainers: $1" >/dev/kmsg; }
fail() { echo "failed $*" >&9; finish; }

finish() {
    dmesg | grep -E 'nbcontainers: |Run /init' | sed 's/^/mark /' >&9
    sync
    poweroff -f
    sleep 60
}

port() { # NAME: its device is $found; those of virtio come by and by, user-mode-linux has them as terminals
    tries=0
    number=0
    while [ "$PORTS" = uml ]; do
        for one in $NAMES; do
            found=/dev/ttyS$number
            [ "$one" = "$1" ] && return
            number=$((number + 1))
        done
    done
    while :; do
        for one in /sys/class/virtio-ports/vport*; do
            [ -e "$one/name" ] && read -r name <"$one/name" && found=/dev/${one##*/} && [ "$name" = "$1" ] && return
        done
        tries=$((tries + 1))
        [ $tries -gt 500 ] && { echo "nbcontainers: no ports to the host" >/dev/console; finish; }
        usleep 2000
    done
}

raw_port() { # NAME
    port "$1"
    if [ "$PORTS" = uml ]; then stty -F "$found" raw -echo; fi
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

copy() { # FIFO DEVICE: to its end, or until its cat is killed; then what says that nothing follows
    {
        cat "$1" &
        echo "$!" >"$1.pid"
        wait "$!"
        printf %s "$TOKEN"
    } >"$2"
}

feed() { # LANE: a length of 0 is the end; a terminal would lose what comes before it is open
    raw_port "input$1"
    exec <"$found" >"/run/input.$1"
    while echo "reading $1" >&9 && read -r length && [ "$length" -gt 0 ]; do
        dd bs="$length" count=1 iflag=fullblock 2>/dev/null
    done
}

run_it() { # LANE: not in the background, where a shell has its programs ignore SIGINT
    (
        [ "$1" = 0 ] && mark command
        read -r pid rest </proc/self/stat
        echo "$pid" >"/run/pid.$1"
        echo "started $1" >&9
        program
    )
}

over() { # LANE STATUS
    : >"/run/pid.$1"
    if [ "$1" = 0 ]; then
        mark end
        end_all 2>/dev/null
    fi
    echo "exit $1 $2" >&9
}

session() { # LANE: what /run/session.LANE says
    . "/run/session.$1"
    : >"/run/session.$1"
    if [ "$SIZE" ]; then
        on_terminal "$1"
        return
    fi
    out=/run/output.$1 err=/run/errors.$1 in=/dev/null
    [ "$READS" ] && in=/run/input.$1
    mkfifo "$out" "$err" ${READS:+"$in"}
    raw_port "output$1"
    copy "$out" "$found" &
    copiers=$!
    raw_port "errors$1"
    copy "$err" "$found" &
    copiers="$copiers $!"
    case $READS in
    yes) feed "$1" & feeder=$! ;;
    never) exec 8<>"$in" ;; # it waits for ever for what does not come
    esac
    run_it "$1" <"$in" >"$out" 2>"$err"
    over "$1" $?
    wait $copiers
    [ "$READS" = yes ] && wait "$feeder"
    rm "$out" "$err" "$out.pid" "$err.pid" ${READS:+"$in"}
}

on_terminal() { # LANE: that of virtio is a console
    if [ "$PORTS" = uml ]; then port "terminal$1"; else found=/dev/hvc$1; fi
    exec 7<>"$found" # a console takes a size of its own when it is opened
    stty -F "$found" sane
    stty -F "$found" $SIZE
    run_it "$1" <&7 >&7 2>&7 7>&-
    status=$?
    exec 7>&-
    stty -F "$found" raw -echo
    over "$1" $status
    printf %s "$TOKEN" >"$found"
}

serve() { # LANE: one command after the other
    while read -r word <"/run/wake.$1"; do
        session "$1"
        echo "idle $1" >&9
    done
}

obey() { # what the host says meanwhile
    while read -r word lane first second; do
        case $word in
        part)
            dd bs="$first" count=1 iflag=fullblock >>"/run/session.$lane"
            echo "took $lane" >&9
            ;;
        exec) echo go >"/run/wake.$lane" ;;
        signal) read -r pid <"/run/pid.$lane" && { kill "-$first" "-$pid" || kill "-$first" "$pid"; } ;;
        size)
            if [ "$PORTS" = uml ]; then port "terminal$lane"; else found=/dev/hvc$lane; fi
            stty -F "$found" rows "$first" cols "$second"
            ;;
        leave) for stream in output errors; do read -r pid <"/run/$stream.$lane.pid" && kill "$pid"; done ;;
        stop) end_all; finish ;;
        esac
    done <&9
}

end_all() { # what the commands left behind, which has the image as its root
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
raw_port control
exec 9<>"$found"
echo ready >&9
mount_image || fail "the image could not be mounted as $TYPE"
mount_kernels
hostname "$HOSTNAME"
prepare 2>/dev/console || fail "$PROBLEM"
# All of a pipeline is in the foreground: what a shell has in the background ignores SIGINT, and so would its programs.
lanes='{ session 0; finish; }'
wakes=
lane=1
while [ "$lane" -lt "$LANES" ]; do
    wakes="$wakes /run/wake.$lane"
    lanes="$lanes | serve $lane"
    lane=$((lane + 1))
done
mkfifo $wakes
{ # hundreds of lines, each by itself: not while the command waits for its turn
    while [ ! -e /run/pid.0 ]; do usleep 20000; done
    raw_port kernel
    cat /dev/kmsg >"$found"
} &
eval "$lanes | obey 2>/dev/null" </dev/null
