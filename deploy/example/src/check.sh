# The project's own test: the words are sorted and none is there twice.
set -e
sort -c "$1"
test -z "$(uniq -d "$1")"
echo "ok: $(wc -l < "$1") words"
