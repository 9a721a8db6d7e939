token=$1 code=$2
set --
now() {
    t=$(date +%s%N 2>/dev/null)
    case $t in '' | *[!0-9]*) t= ;; esac
}
echo "$token begin"
now
a=$t
# What is ours the cell does not see: a word of its own may have the same name.
( eval "unset -f now; unset token code t a; $code" )
status=$?
now
echo
[ -n "$a" ] && echo "$token end $((t - a)) ns" || echo "$token end"
exit $status
