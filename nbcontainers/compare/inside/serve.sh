# Services for those who ask from outside, until the file STOP is on the volume. Arguments: the token, the port of what
# answers, the port of nginx (each may be empty), its Python, the program that answers.
token=$1 port=$2 web=$3 python=$4 program=$5
scratch=${NBC_SCRATCH:-/tmp}
stop=$NBC_VOLUME/stop-$token
place=$scratch/nginx-$token
children=
listens=
echo "$token begin"

answer() { # each connection by its first byte: nbcontainers.compare.inside.answer
    if command -v "$python" >/dev/null; then
        exec "$python" -c "$program" "$port"
    fi
    exec nc -ll -p "$port" -e sh -c 'case $(dd bs=1 count=1 2>/dev/null) in e) printf e; exec cat ;; s) exec cat /dev/zero ;; esac'
}

can_answer() { command -v "$python" >/dev/null || nc --help 2>&1 | grep -q -- '-ll'; }

configuration() {
    [ "$(id -u)" = 0 ] && echo "user root;"
    echo "worker_processes 1; daemon off; pid $place/pid; error_log /dev/null crit; events { worker_connections 256; }"
    echo "http { access_log off; keepalive_requests 1000000000; sendfile on;"
    for one in client_body proxy fastcgi uwsgi scgi; do echo "${one}_temp_path $place/$one;"; done
    echo "server { listen $web; root $place/www; } }"
}

PATH=$PATH:/usr/local/sbin:/usr/sbin
if [ "$port" ]; then
    if can_answer; then
        answer &
        children="$children $!" listens="$listens $port"
    else
        echo "$token absent answer the image has neither Python nor a nc that goes on listening (busybox)"
    fi
fi
if [ "$web" ]; then
    if command -v nginx >/dev/null; then
        mkdir -p "$place/www"
        configuration >"$place/conf"
        head -c 1024 /dev/zero | tr '\0' x >"$place/www/index.html"
        nginx -e /dev/null -p "$place" -c "$place/conf" >&2 &
        children="$children $!" listens="$listens $web"
    else
        echo "$token absent nginx the image has no nginx (Debian: apt-get install nginx-light)"
    fi
fi
listening() { grep -q "$(printf ':%04X 0*:0000 0A' "$1")" /proc/net/tcp /proc/net/tcp6 2>/dev/null; }

tries=0
for one in $listens; do
    until listening "$one" || [ $tries -ge 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
done
own=$(hostname -I 2>/dev/null || ip -4 -o addr show scope global 2>/dev/null | sed 's/.*inet \([0-9.]*\).*/\1/')
own=${own%% *}
echo "$token fact address = ${own:-none}"
until [ -e "$stop" ]; do sleep 0.5; done
[ "$children" ] && kill $children
wait
rm -rf "$place"
echo "$token end"
