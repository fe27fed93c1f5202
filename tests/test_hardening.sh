#!/bin/sh
# The daemon is built so that a fault in it is hard to use: with all that
# configure found the compiler and the linker to take, unless the user's own
# CFLAGS and LDFLAGS say otherwise.

case " $EVD_BUILD_FLAGS " in
*-fsanitize=* | *--coverage*)
	echo 'no build for use: it has sanitizers, or counts what is reached'
	exit 77
	;;
esac
if ! command -v readelf >/dev/null; then
	echo 'no readelf (Debian: binutils)'
	exit 77
fi

faults=0
work=$(mktemp) || exit 1
trap 'rm -f "$work"' EXIT
readelf --wide --file-header --program-headers --dynamic --dyn-syms \
	"$EVD" >"$work" || exit 1

# has FLAG NOT: whether it is built with the one flag, and without the other.
has()
{
	case " $EVD_BUILD_FLAGS " in
	*" $2 "*) return 1 ;;
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# expect WHAT PATTERN: readelf shows a line like that.
expect()
{
	grep -Eq "$2" "$work" && return
	echo "not so: $1"
	faults=$((faults + 1))
}

# refuse WHAT PATTERN: it shows none.
refuse()
{
	grep -Eq "$2" "$work" || return
	echo "so it is: $1"
	faults=$((faults + 1))
}

if has -pie -no-pie; then
	expect 'position independent' 'Type: +DYN'
	expect 'marked so' 'FLAGS_1.*\<PIE\>'
fi
if has -Wl,-z,relro -Wl,-z,norelro; then
	expect 'relocations are read-only' 'GNU_RELRO'
fi
if has -Wl,-z,now -Wl,-z,lazy; then
	expect 'all of them, at the start' '\(FLAGS.*BIND_NOW|FLAGS_1.*\<NOW\>'
fi
if has -Wl,-z,noexecstack -Wl,-z,execstack; then
	expect 'a stack without code' 'GNU_STACK.* RW  '
fi
if has -fstack-protector-strong -fno-stack-protector; then
	expect 'a guarded stack' '__stack_chk_fail'
fi
case " $EVD_BUILD_FLAGS " in
*' -O0 '* | *'_FORTIFY_SOURCE=0 '*) ;;
*' -O'*) expect 'checked string functions' '__[a-z]+_chk\>' ;;
esac
refuse 'segments that can be written and executed' 'LOAD .* RWE '
refuse 'libraries from odd places' '\((RPATH|RUNPATH)\)'
refuse 'relocations in code' '\(TEXTREL\)'
refuse 'functions that no program should use' \
	' (gets|mktemp|tmpnam|tempnam|sprintf|vsprintf|strcat|system|popen)(@|$)'
exit $((faults > 0))
