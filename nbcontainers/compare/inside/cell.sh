now() {
    t=$(date +%s%N 2>/dev/null)
    case $t in '' | *[!0-9]*) t= ;; esac
}
echo "$1 begin"
now
a=$t
( eval "$2" )
status=$?
now
echo
[ -n "$a" ] && echo "$1 end $((t - a)) ns" || echo "$1 end"
exit $status
