"""evd.sh, the client for shell scripts: watchers, events and the loop, in each shell."""

import os
import re
import time

import pytest

from evdshell import daemon, run, script, shell  # noqa: F401


# Each type


def test_timer(shell, daemon):
    out = run(
        shell,
        """
        n=0
        tick() {
            n=$((n + 1))
            echo "$n $EV_WATCHER $EV_EVENT $EV_REVENTS $EV_SEQ $EV_ACTIVE"
            [ $n -lt 3 ] || ev_stop tick
        }
        ev_timer tick 0 0.02
        ev_run
        echo "left $EV_RESULT"
        """,
        daemon,
    )
    # A tick may have been merged into another one on a slow machine.
    assert out == [
        "1 tick timer 256 1 true",
        "2 tick timer 256 2 true",
        "3 tick timer 256 3 true",
        "left 0",
    ]


def test_timer_once_is_inactive_in_its_handler(shell, daemon):
    out = run(
        shell,
        """
        tea() { ev_get tea active; echo "$EV_ACTIVE $EV_RESULT"; }
        ev_timer tea .01
        ev_run
        """,
        daemon,
    )
    assert out == ["false false"]


def test_handler_may_register_its_watcher_anew(shell, daemon):
    out = run(
        shell,
        """
        n=0
        again() { n=$((n + 1)); echo $n; [ $n = 3 ] || ev_timer again 0.01; }
        ev_timer again 0.01
        ev_run
        """,
        daemon,
    )
    assert out == ["1", "2", "3"]


def test_numbers_as_shells_write_them(shell, daemon):
    out = run(
        shell,
        """
        h() { :; }
        for n in 5. .5 005 +5 0 00 5e0; do
            ev_timer -s -n "x" h "$n"; ev_remaining x; echo "$EV_RESULT"
        done
        """,
        daemon,
    )
    assert [float(line) for line in out] == [5, 0.5, 5, 5, 0, 0, 5]


def test_periodic(shell, daemon):
    out = run(
        shell,
        """
        even() { echo "$EV_EVENT ${EV_AT:+has} $EV_JUMP"; ev_stop; }
        ev_periodic even 0 0.1
        ev_run
        past() { echo "$EV_EVENT [$EV_AT] $EV_ACTIVE"; }
        ev_periodic past 12
        ev_stop even
        ev_run
        """,
        daemon,
    )
    assert out == ["periodic has false", "periodic [] false"]


def test_cron(shell, daemon):
    out = run(
        shell,
        """
        job() { echo "$EV_EVENT ${EV_AT:+has}"; ev_stop; }
        ev_cron -z Europe/Berlin job '* * * * * *'
        ev_run
        """,
        daemon,
    )
    assert out == ["scheduler has"]


def test_cron_that_is_wrong(shell, daemon):
    run(
        shell,
        """
        job() { :; }
        ev_cron job '0 9 * * MON-FRY'
        """,
        daemon,
        status=1,
        stderr='evd.sh: ev_cron: member "calendar" is "0 9 * * MON-FRY": field 5 (day '
        'of week) is "MON-FRY", expected numbers from 0 to 7, or SUN to SAT\n',
    )


def test_signal(shell, daemon):
    with script(
        shell,
        """
        n=0
        usr1() { n=$((n + 1)); echo "usr1 $n $EV_SIGNUM"; [ $n = 3 ] || return 0; ev_stop; }
        ev_signal usr1 SIGUSR1
        ev_signal -n two usr1 12
        echo ready
        ev_run
        """,
        daemon,
    ) as running:
        running.said("ready")
        running.asleep()
        os.kill(running.pid, 10)
        running.said("usr1 1 10")
        running.asleep()
        os.kill(running.pid, 12)
        running.said("usr1 2 12")
        running.asleep()
        os.kill(running.pid, 10)
        assert running.wait() == 0, running.stderr
        assert running.stderr == ""


def test_signal_has_its_default_action_again(shell, daemon):
    with script(
        shell,
        """
        h() { :; }
        ev_signal h USR1
        ev_signal -n too h USR1
        ev_stop h
        kill -USR1 $$
        ev_stop too
        echo ready
        kill -USR1 $$
        """,
        daemon,
    ) as running:
        assert running.wait() == -10, running.stderr
        assert running.stdout == "ready\n"


def test_many_signals_lose_no_event(shell, daemon):
    """A trap that interrupts `read` is neither the end nor half of a line."""
    with script(
        shell,
        """
        n=0 s=0
        tick() { n=$((n + 1 + EV_OVERRUN)); [ $n -lt 400 ] || ev_stop; }
        usr1() { s=$((s + 1)); }
        ev_timer tick 0 0.002
        ev_signal usr1 USR1
        echo ready
        ev_run
        echo "n $n s ${s%%[0-9]*}"
        """,
        daemon,
    ) as running:
        running.said("ready")
        while running.process.poll() is None and "n " not in running.stdout:
            os.kill(running.pid, 10)
            time.sleep(0.001)
        running.process.wait()
        # The last signal may have found the shell ending. The last tick may have
        # been merged with any number of others.
        said = re.search(r"^n (\d+) s", running.stdout, re.M)
        assert said and int(said[1]) >= 400, running.stdout + running.stderr


def test_child(shell, daemon):
    out = run(
        shell,
        """
        ended() { echo "$EV_EVENT $EV_EXIT $EV_DATA $([ "$EV_PID" = "$pid" ] && echo same)"; }
        (sleep 0.05; exit 3) & pid=$!
        ev_child -d work ended $pid
        ev_run
        """,
        daemon,
    )
    assert out == ["child 3 work same"]


def test_child_by_signal(shell, daemon):
    out = run(
        shell,
        """
        ended() { [ "$EV_EXIT" -gt 128 ] && echo "$(kill -l "$EV_EXIT")"; }
        sleep 60 & ev_child ended $!
        kill $!
        ev_run
        """,
        daemon,
        stderr=None,
    )
    assert [line.replace("SIG", "") for line in out] == ["TERM"]


def test_child_that_was_reaped_before(shell, daemon):
    out = run(
        shell,
        """
        ended() { echo "$EV_EVENT $EV_EXIT $([ "$EV_PID" = "$pid" ] && echo same)"; }
        (exit 4) & pid=$!
        sleep 0.1
        wait $pid || :
        (exit 5) & pid=$!
        sleep 0.1
        sleep 0.1
        ev_child ended $pid
        ev_run
        echo end
        """,
        daemon,
    )
    assert out == ["child 5 same", "end"]


def test_child_of_another(shell, daemon):
    out = run(
        shell,
        """
        ended() { echo "$EV_EVENT [$EV_EXIT]"; }
        pid=$(sh -c 'sleep 1000 >/dev/null & echo $!')
        ev_child -n other ended "$pid"
        kill "$pid"
        ev_run
        """,
        daemon,
    )
    assert out == ["child []"]


def test_many_children(shell, daemon):
    out = run(
        shell,
        """
        ended() { echo "$EV_WATCHER $EV_EXIT"; }
        for i in 1 2 3 4 5 6 7 8; do
            (exit $i) & ev_child -n c$i ended $!
        done
        ev_run
        """,
        daemon,
    )
    assert sorted(out) == ["c%d %d" % (i, i) for i in range(1, 9)]


def test_spawn(shell, daemon):
    out = run(
        shell,
        r"""
        export WORD='it'"'"'s "so"'
        ended() { echo "$EV_EXIT $([ "$EV_PID" = "$pid" ] && echo same)"; cat out; }
        ev_spawn ended sh -c 'printf "[%s]" "$WORD" "$@" >out; exit 7' sh -n '' '$(x)' "
*" 'é'
        pid=$EV_RESULT
        ev_run
        """,
        daemon,
    )
    assert out == ["7 same", "[it's \"so\"][-n][][$(x)][", "*][é]"]


def test_spawn_by_signal(shell, daemon):
    out = run(
        shell,
        """
        ended() { echo "$EV_EXIT $EV_SIGNAL"; }
        ev_spawn ended sh -c 'kill -9 $$'
        ev_run
        """,
        daemon,
    )
    assert out == ["137 9"]


def test_spawn_of_nothing(shell, daemon):
    run(
        shell,
        "ev_spawn x /nowhere/program",
        daemon,
        status=1,
        stderr='evd.sh: ev_spawn: member "argv" begins with "/nowhere/program", which '
        "can't be executed: ENOENT (No such file or directory)\n",
    )


def test_stat(shell, daemon):
    out = run(
        shell,
        """
        changed() {
            echo "$EV_ATTR_NLINK $EV_ATTR_SIZE $EV_PREV_NLINK $(stat -c '%i %Y' note)"
            echo "$EV_ATTR_INO ${EV_ATTR_MTIME%.*} ${#EV_ATTR_MTIME}"
            ev_stop
        }
        ev_stat changed note
        echo hello >tmp; mv tmp note
        ev_run
        """,
        daemon,
    )
    assert out[0].split()[:3] == ["1", "6", "0"]
    assert out[0].split()[3:] == out[1].split()[:2]
    # Nine decimals of a second, all of them.
    assert out[1].split()[2] == "20"


MEMBERS = "dev ino mode nlink uid gid rdev size atime mtime ctime".split()
SHOW_STAT = "echo " + " ".join(
    "$EV_%s_%s" % (side, member.upper()) for side in ("ATTR", "PREV") for member in MEMBERS
)


def stat_values(line):
    """What an event's line says of a file, and said before, digit for digit."""
    numbers = re.findall(rb'"(?:%s)":([0-9.]+)' % "|".join(MEMBERS).encode(), line)
    return b" ".join(numbers).decode()


def test_stat_says_all_of_each_change(shell, daemon, tmp_path):
    path = tmp_path / "note"
    with daemon.connect() as other:
        other.watch("stat", "w", path=str(path))
        out = run(
            shell,
            """
            cd %s
            n=0
            changed() {
                %s
                n=$((n + 1))
                case $n in
                1) chmod 600 note ;;
                2) touch -m -d @7.000000001 note ;;
                3) ln note also ;;
                4) touch -d @1.5 tmp; mv tmp note ;;
                5) rm note ;;
                6) ev_stop ;;
                esac
            }
            ev_stat changed note
            echo hello >tmp; mv tmp note
            ev_run
            """
            % (tmp_path, SHOW_STAT),
            daemon,
        )
        assert out == [stat_values(other.line()) for _ in range(6)]


def test_numbers_of_a_file_are_exact(shell):
    """Also those that jq would round; no file system here has such inodes."""
    attr = dict.fromkeys(MEMBERS, 1)
    attr.update(ino=2**64 - 1, atime="1.000000001", mtime="0.000000000")
    prev = dict(attr, ino=2**53 + 1, ctime="1795397824.500012345")
    sides = [
        '"%s":{%s}' % (side, ",".join('"%s":%s' % member for member in values.items()))
        for side, values in [("attr", attr), ("prev", prev)]
    ]
    event = '{"event":"stat","watcher":"w","revents":4096,"seq":1,"time":5.000000,%s,%s}'
    out = run(
        shell,
        """
        _ev_line=$(jq -R -r "$_ev_jq_program" <<'END'
%s
END
        )
        eval "_ev_$_ev_line"
        %s
        """
        % (event % tuple(sides), SHOW_STAT),
    )
    assert out == ["%s %s" % tuple(" ".join(map(str, v.values())) for v in (attr, prev))]


NAMES = [
    "a b",
    "-n",
    "it's",
    'a"b\\',
    "$(touch evil)`touch evil`",
    "line\nfeed",
    "é",
    "\udcff\udcfe",
    "*",
    "a,b:c!d",
]


@pytest.mark.parametrize("name", NAMES, ids=map(ascii, NAMES))
def test_stat_of_any_name(shell, daemon, name):
    """A file's name is any bytes, and none of them is ever run."""
    with script(
        shell,
        """
        changed() { printf '%s\\n' "$EV_DATA $EV_ATTR_SIZE"; ev_stop; }
        ev_stat -d "$NAME" changed "$NAME"
        echo ready
        ev_run
        [ ! -e evil ]
        """,
        daemon,
        env={"NAME": name},
    ) as running:
        running.said("ready")
        path = os.path.join(running.work, name)
        with open(path + ".new", "w") as file:
            file.write("four")
        os.rename(path + ".new", path)
        assert running.wait() == 0, running.stderr
        assert running.stdout == "ready\n%s 4\n" % name
        assert running.stderr == ""


def test_io_of_a_descriptor(shell, daemon):
    out = run(
        shell,
        """
        mkfifo fifo
        exec 5<>fifo
        inp() { read -r line <&5; echo "$EV_EVENT $EV_REVENTS $line"; [ "$line" != c ] || ev_stop inp; }
        ev_io inp 5
        (for i in a b c; do sleep 0.05; echo $i; done >fifo) &
        ev_run
        """,
        daemon,
    )
    assert out == ["io 1 a", "io 1 b", "io 1 c"]


def test_io_is_said_again_until_it_was_read(shell, daemon):
    out = run(
        shell,
        """
        mkfifo fifo
        exec 5<>fifo
        n=0
        inp() { n=$((n + 1)); [ $n -lt 5 ] || { echo $n; ev_stop; }; }
        ev_io inp 5
        echo x >&5
        ev_run
        """,
        daemon,
    )
    assert out == ["5"]


def test_io_of_a_path(shell, daemon):
    out = run(
        shell,
        """
        mkfifo "a fifo"
        inp() { read -r line <&5; echo "$line"; ev_stop; }
        exec 5<>"a fifo"
        ev_io inp "a fifo" r
        out() { echo "writable $EV_REVENTS"; ev_stop; }
        (sleep 0.05; echo hello >"a fifo") &
        ev_run
        ev_io out "a fifo" w
        ev_run
        """,
        daemon,
    )
    assert out == ["hello", "writable 2"]


def test_io_of_a_subshell_is_the_subshell_s(shell, daemon):
    """Its descriptor of this number, not that of $$."""
    out = run(
        shell,
        """
        mkfifo one two
        exec 5<>one
        (
            exec 5<>two
            inp() { read -r line <&5; echo "$line"; ev_stop; }
            ev_io inp 5
            echo two >two
            ev_run
            echo "sub $EV_RESULT"
        )
        echo main
        """,
        daemon,
    )
    assert out == ["two", "sub 1", "main"]


def test_io_of_what_is_not_open(shell, daemon):
    run(
        shell,
        "exec 7>&-; ev_io inp 7",
        daemon,
        status=1,
        stderr=None,
    )


def test_async(shell, daemon):
    out = run(
        shell,
        """
        bell() { echo "$EV_EVENT $EV_OVERRUN"; ev_stop; }
        ev_async bell
        (sleep 0.05; ev_send bell) &
        ev_run
        wait
        ev_send bell
        ev_send bell
        ev_run
        ev_stop bell
        ev_send bell || echo "no $?"
        """,
        daemon,
        stderr='evd.sh: ev_send: "bell" is not active\n',
    )
    assert out[0] == "async 0"
    assert out[-1] == "no 1"


def test_send_to_another_script(shell, daemon):
    with script(
        shell,
        """
        bell() { echo rung; ev_stop; }
        ev_session "the kitchen, 2nd"
        ev_async bell
        echo ready
        ev_run
        """,
        daemon,
    ) as kitchen:
        kitchen.said("ready")
        run(shell, 'ev_send bell "the kitchen, 2nd"', daemon)
        assert kitchen.wait() == 0
        assert kitchen.stdout == "ready\nrung\n"
    run(
        shell,
        "ev_send bell nobody",
        daemon,
        status=1,
        stderr=None,
    )


# What all watchers have


def test_variables_do_not_leak_into_the_next_handler(shell, daemon):
    """Not even empty: under set -u it is an error to look at them."""
    out = run(
        shell,
        """
        first() { echo "$EV_DATA ${EV_ATTR_SIZE+size}"; echo >>note; }
        changed() { echo "$EV_DATA ${EV_ATTR_SIZE+size} ${EV_AT+at}"; ev_timer last 0; }
        last() { echo "[$EV_DATA] ${EV_ATTR_SIZE-none} ${EV_PREV_MODE-none}"; ev_stop; }
        echo >note
        ev_stat -d two changed note
        ev_periodic -d one first 12
        ev_run
        """,
        daemon,
    )
    assert out == ["one ", "two size ", "[] none none"]


def test_priority(shell, daemon):
    """In one batch: what came while this shell did not ask."""
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER"; }
        ev_async -s -n low -p -1 say
        ev_async -s -n high -p 2 say
        ev_async -s -n middle say
        # In one write, and so one batch.
        cat >&"$EV_FD_OUT" <<'END'
{"cmd":"feed","watcher":"low","revents":1,"reply":false}
{"cmd":"feed","watcher":"middle","revents":1,"reply":false}
{"cmd":"feed","watcher":"high","revents":1,"reply":false}
END
        ev_run
        """,
        daemon,
    )
    assert out == ["high", "middle", "low"]


def test_once(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER $EV_ACTIVE"; }
        ev_timer -1 say 0 0.01
        ev_run
        ev_start say
        ev_run
        """,
        daemon,
    )
    assert out == ["say false", "say false"]


def test_held_watcher_merges_while_its_handler_runs(shell, daemon):
    out = run(
        shell,
        """
        n=0
        tick() {
            n=$((n + 1))
            echo "$n $((EV_OVERRUN > 5))"
            [ $n = 3 ] && ev_stop && return
            # The first tick comes alone, however late it is.
            [ $n = 1 ] && ev_set tick repeat 0.01 && ev_again tick
            sleep 0.2
        }
        ev_timer -h tick 0 3600
        ev_run
        """,
        daemon,
    )
    assert out == ["1 0", "2 1", "3 1"]


def test_not_started(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER"; }
        ev_timer -s say 0
        ev_run
        echo "none $EV_RESULT"
        ev_start say
        ev_run
        """,
        daemon,
    )
    assert out == ["none 0", "say"]


def test_data_is_any_text(shell, daemon):
    run(
        shell,
        r"""
        data='$(touch evil)`touch evil`; "'"'"'\n
        * é'
        say() { [ "$EV_DATA" = "$data" ]; }
        ev_timer -d "$data" say 0
        ev_run
        [ ! -e evil ]
        """,
        daemon,
    )


def test_handler_may_be_any_command(shell, daemon):
    out = run(
        shell,
        """
        ev_timer exit 60
        ev_timer -n end ev_stop 0.01
        ev_run
        echo ran
        ev_timer -n end exit 0.01
        ev_run
        echo not here
        """,
        daemon,
    )
    assert out == ["ran"]


def test_stop_takes_back_what_has_come(shell, daemon):
    """No handler runs for a watcher that was stopped before."""
    out = run(
        shell,
        """
        one() { ev_stop two; sleep 0.05; ev_now; ev_stop one; }
        two() { echo two; }
        ev_async one
        ev_async two
        ev_feed one 1; ev_feed two 1
        ev_feed one 1; ev_feed two 1
        ev_run
        echo end
        """,
        daemon,
    )
    assert out == ["end"]


def test_unwatch_and_clear(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER"; }
        ev_async -n a say; ev_async -n b say; ev_async -n c say
        ev_feed a 1; ev_feed b 1; ev_feed c 1
        ev_unwatch a; ev_clear b; ev_stop b; ev_unwatch b
        ev_run nowait
        ev_unwatch c
        ev_run
        ev_start a || echo "gone $?"
        """,
        daemon,
        stderr='evd.sh: ev_start: there is no watcher "a"\n',
    )
    assert out == ["c", "gone 1"]


def test_again(shell, daemon):
    out = run(
        shell,
        """
        tick() { echo tick; ev_stop tick; }
        ev_timer tick 60 0.01
        ev_again tick
        ev_run
        ev_timer -n once tick 60
        ev_again once
        ev_run
        ev_get once active; echo "$EV_RESULT"
        ev_set tick repeat 30
        ev_again tick
        ev_remaining tick; echo "$((${EV_RESULT%.*} > 20)) $((${EV_RESULT%.*} < 31))"
        """,
        daemon,
    )
    assert out == ["tick", "false", "1 1"]


def test_active_watcher_is_not_replaced(shell, daemon):
    run(
        shell,
        """
        h() { :; }
        ev_timer h 60
        ev_timer h 5
        """,
        daemon,
        status=1,
        stderr='evd.sh: ev_timer: there is an active watcher "h" (ev_stop h stops it, '
        "-n gives another name)\n",
    )


@pytest.mark.parametrize(
    "call, status, message",
    [
        ("ev_timer h", 2, "ev_timer: usage: ev_timer [OPTIONS] HANDLER AFTER [REPEAT]"),
        ("ev_timer -x h 1", 2, "ev_timer: usage: ev_timer [OPTIONS] HANDLER AFTER"),
        ("ev_timer h 1 2 3", 2, "ev_timer: usage: "),
        ("ev_timer h one", 2, 'ev_timer: after is "one", expected a number'),
        ("ev_timer h '0,\"end\":true'", 2, "ev_timer: after is "),
        ("ev_timer h 1e", 2, "ev_timer: after is "),
        ("ev_timer h 1.2.3", 1, "ev_timer: not JSON: "),
        ("ev_timer h -1", 1, 'ev_timer: member "after" is -1, expected a number'),
        ("ev_timer -p 9 h 1", 1, 'ev_timer: member "priority" is 9, expected'),
        ("ev_timer 'a b' 1", 2, 'ev_timer: "a b" is no name, expected letters'),
        ("ev_timer -n 'x;y' h 1", 2, 'ev_timer: "x;y" is no name'),
        ("ev_timer -n _ev_x h 1", 2, 'ev_timer: "_ev_x" is no name'),
        ("ev_timer -L h 1", 1, 'ev_timer: member "follow" is unknown'),
        ("ev_signal h NONE", 1, "ev_signal: "),
        ("ev_signal h 'USR1 ;x'", 2, 'ev_signal: "USR1 ;x" is no signal'),
        ("ev_signal h KILL", 1, 'ev_signal: "KILL" is no signal that this shell can'),
        ("ev_signal h 9999", 2, 'ev_signal: "9999" is no signal'),
        ("ev_child h x", 2, 'ev_child: pid is "x", expected a number'),
        ("ev_io h 5 x", 2, 'ev_io: "x" is none of r, w, rw'),
        ("ev_io h ''", 2, "ev_io: the path is empty, expected one"),
        ("ev_stat h ''", 2, "ev_stat: the path is empty, expected one"),
        ("ev_stop h", 1, 'ev_stop: there is no watcher "h"'),
        ("ev_start", 1, 'ev_start: there is no watcher ""'),
        ("ev_run x", 2, "ev_run: usage: ev_run [nowait | once]"),
        ("ev_send", 2, "ev_send: usage: ev_send NAME [SESSION]"),
        ("ev_session '#1'", 1, 'ev_session: member "session" is '),
    ],
)
def test_mistakes(shell, daemon, call, status, message):
    """Each is said where it was made, and nothing else suffers."""
    with script(
        shell,
        call
        + ' || echo "status $?"\n'
        + "h() { echo fine; }\nev_timer h 0\nev_run\n",
        daemon,
    ) as running:
        assert running.wait() == 0, running.stderr
        assert running.stdout == "status %d\nfine\n" % status, running.stderr
        assert running.stderr.startswith("evd.sh: " + message), running.stderr
        assert running.stderr.count("\n") == 1


# The loop


def test_run_without_watchers_returns(shell, daemon):
    assert run(shell, 'ev_run; echo "$EV_RESULT"', daemon) == ["0"]


def test_run_handles_what_was_fed_to_inactive_watchers(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_REVENTS $EV_ACTIVE"; }
        ev_async -s say
        ev_feed say 5
        ev_run
        """,
        daemon,
    )
    assert out == ["5 false"]


def test_run_nowait_and_once(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER"; }
        ev_timer -n later say 60
        ev_run nowait
        echo "a $EV_RESULT"
        ev_timer -n now say 0
        ev_run nowait
        echo "b $EV_RESULT"
        ev_timer -n soon say 0.05
        ev_timer -n then say 0.05
        ev_run once
        echo "c $EV_RESULT"
        ev_stop later
        ev_run
        ev_run once
        """,
        daemon,
    )
    assert out[:3] == ["a 1", "now", "b 1"]
    # The two may be due in one batch or in two.
    assert out[3:] in (
        ["soon", "then", "c 1"],
        ["then", "soon", "c 1"],
        ["soon", "c 2", "then"],
        ["then", "c 2", "soon"],
    )


def test_stop_of_the_loop_leaves_the_rest_for_the_next_run(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER"; ev_stop; }
        ev_timer -n a say 0; ev_timer -n b say 0
        ev_run; echo one
        ev_run; echo two
        ev_stop
        ev_run; echo "three $EV_RESULT"
        """,
        daemon,
    )
    assert sorted(out[0:3:2]) == ["a", "b"]
    assert out[1::2][:2] == ["one", "two"]
    assert out[4:] == ["three 0"]


def test_runs_inside_of_runs(shell, daemon):
    """The outer event's variables are there again behind the inner run."""
    out = run(
        shell,
        """
        outer() {
            echo "outer $EV_WATCHER $EV_EVENT $EV_DATA"
            ev_timer -d inside inner 0
            ev_run
            echo "outer $EV_WATCHER $EV_EVENT $EV_DATA ${EV_AT+at} ${EV_ATTR_MODE-none}"
        }
        inner() { echo "inner $EV_WATCHER $EV_DATA ${EV_AT-none}"; ev_break; }
        ev_periodic -d outside outer 12
        ev_run
        echo end
        """,
        daemon,
    )
    assert out == [
        "outer outer periodic outside",
        "inner inner inside none",
        "outer outer periodic outside at none",
        "end",
    ]


def test_break_all(shell, daemon):
    out = run(
        shell,
        """
        outer() { ev_timer inner 0; ev_run; echo back; }
        inner() { ev_break all; }
        ev_timer never 60
        ev_timer outer 0
        ev_run
        echo "end $EV_RESULT"
        """,
        daemon,
    )
    assert out == ["back", "end 1"]


def test_io_of_the_outer_run_is_held_in_the_inner_one(shell, daemon):
    out = run(
        shell,
        """
        mkfifo fifo; exec 5<>fifo
        inp() {
            echo inp
            ev_timer -n a tick 0
            ev_async -h -n b tick
            ev_feed b 1
            ev_timer -n c ev_break 0.1
            ev_run
            read -r line <&5
            ev_break
        }
        tick() { echo "$EV_WATCHER"; }
        ev_io inp 5
        echo x >&5
        ev_run
        """,
        daemon,
    )
    assert out[0] == "inp"
    assert sorted(out[1:]) == ["a", "b"]


def test_unref(shell, daemon):
    out = run(
        shell,
        """
        tick() { echo tick; }
        ev_timer tick 60 60
        ev_unref
        ev_timer -n soon tick 0.01
        ev_run
        ev_ref
        ev_stop tick
        ev_run
        """,
        daemon,
    )
    assert out == ["tick"]


def test_now(shell, daemon):
    before = time.time()
    out = run(shell, 'ev_now; echo "$EV_RESULT"; ev_update; echo "$EV_RESULT"', daemon)
    assert before - 1 < float(out[0]) <= float(out[1]) < time.time() + 1


def test_close_and_begin_anew(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER $EV_SEQ"; }
        ev_timer say 0; ev_run
        ev_signal say HUP
        ev_close
        ev_close
        ev_timer say 0; ev_run
        both() { ev_close; ev_timer say 0; echo closed; }
        ev_timer both 0
        ev_run
        ev_run
        """,
        daemon,
    )
    assert out == ["say 1", "say 1", "closed", "say 1"]


# A shell's own ways


def test_failing_handler_ends_the_script_under_set_e(shell, daemon):
    out = run(
        shell,
        """
        bad() { echo before; (exit 5); echo not here; }
        ev_timer bad 0
        ev_timer bad2 60
        ev_run
        echo not here either
        """,
        daemon,
        status=5,
    )
    assert out == ["before"]


def test_failing_handler_s_status_is_that_of_run(shell, daemon):
    """Where the shell itself does not look at set -e, as left of ||."""
    out = run(
        shell,
        """
        bad() { return 6; }
        ev_timer bad 0
        ev_timer later 60
        ev_run || echo "status $?"
        """,
        daemon,
    )
    assert out == ["status 6"]


def test_failing_handler_is_no_matter_without_set_e(shell, daemon):
    out = run(
        shell,
        """
        mkfifo fifo; exec 5<>fifo; echo x >&5
        n=0
        bad() { n=$((n + 1)); [ $n -lt 3 ] || ev_stop; return 6; }
        ev_io bad 5
        ev_run
        echo "$? $n"
        """,
        daemon,
        preamble="set -u\n",
    )
    assert out == ["0 3"]


def test_traps_of_the_script_are_its_own(shell, daemon):
    with script(
        shell,
        """
        trap 'echo "exit trap"' EXIT
        trap 'echo usr1' USR1
        trap 'echo term; ev_stop' TERM
        h() { :; }
        ev_timer h 60
        # From inside of the loop: before it there is none that ev_stop could end.
        ready() { echo ready; }
        ev_timer ready 0
        ev_run
        echo "after $EV_RESULT"
        """,
        daemon,
    ) as running:
        running.said("ready")
        running.asleep()
        os.kill(running.pid, 10)
        running.said("usr1")
        running.asleep()
        os.kill(running.pid, 15)
        assert running.wait() == 0, running.stderr
        assert running.stdout == "ready\nusr1\nterm\nafter 1\nexit trap\n"
        assert running.stderr == ""


def test_jobs_and_descriptors_of_the_script_are_its_own(shell, daemon):
    """No job, no $!, no open descriptor but the two."""
    out = run(
        shell,
        """
        sleep 0.01 & pid=$!
        exec 3>three 4>four
        h() { :; }
        ev_timer h 0
        [ "$!" = $pid ] && echo same
        jobs >jobs; grep -c socat jobs || :
        echo 3 >&3; echo 4 >&4
        wait
        for i in 5 6 7; do [ ! -e /proc/self/fd/$i ] || echo open; done
        cat three four
        ls -a "$TMPDIR" | wc -l
        """,
        daemon,
    )
    assert [line.strip() for line in out] == ["same", "0", "3", "4", "2"]


def test_descriptors_can_be_others(shell, daemon):
    out = run(
        shell,
        """
        exec 8>eight 9>nine
        h() { echo "h $([ -p /proc/self/fd/4 ] && echo fifo)"; }
        ev_timer h 0
        ev_run
        echo 8 >&8; echo 9 >&9
        cat eight nine
        """,
        daemon,
        preamble="set -eu\nEV_FD_IN=4 EV_FD_OUT=5\n",
    )
    assert out == ["h fifo", "8", "9"]


def test_descriptors_in_use(shell, daemon):
    run(
        shell,
        "exec 8>eight\nev_timer h 0",
        daemon,
        status=1,
        stderr="evd.sh: ev_timer: descriptor 8 is in use (EV_FD_IN and EV_FD_OUT say "
        "which ones are taken)\n",
    )


def test_subshell_has_not_its_parent_s_loop(shell, daemon):
    if shell == ["ksh"]:
        pytest.skip("ksh93 forks no subshell")
    out = run(
        shell,
        """
        h() { echo "$EV_WATCHER"; }
        ev_timer h 3600
        (ev_timer -n sub h 0) || echo "status $?"
        (ev_close; ev_timer -n sub h 0; ev_run; echo "sub $EV_RESULT")
        ev_remaining h
        echo "main $EV_RESULT"
        """,
        daemon,
        stderr="evd.sh: ev_timer: this is a subshell, the loop is its parent's "
        "(ev_close lets go of it)\n",
    )
    assert out[:3] == ["status 1", "sub", "sub 0"]
    name, remaining = out[3].split()
    assert name == "main" and 3000 < float(remaining) < 3600


def test_script_in_a_script(shell, daemon):
    """A child inherits the descriptors, and perhaps the variables."""
    out = run(
        shell,
        """
        set -a
        h() { %s ./inner; echo outer; }
        cat >inner <<'END'
        set -eu
        . evd.sh
        inner() { echo inner; }
        ev_timer inner 0
        ev_run
END
        ev_timer h 0
        ev_run
        """
        % " ".join(shell),
        daemon,
        preamble="set -eua\n",
    )
    assert out == ["inner", "outer"]


def test_read_twice(shell, daemon):
    out = run(
        shell,
        """
        h() { echo h; }
        ev_timer h 0
        . evd.sh
        ev_run
        """,
        daemon,
    )
    assert out == ["h"]


def test_odd_settings(shell, daemon):
    out = run(
        shell,
        """
        IFS=e_0
        set -f -C
        umask 777
        h() { echo "$EV_WATCHER $EV_EVENT"; }
        ev_signal h USR1
        ev_stop h
        ev_unwatch h
        ev_timer -n e h 0
        ev_run
        """,
        daemon,
    )
    assert out == ["e timer"]


@pytest.mark.parametrize("ifs", ["", "\\n\\t"])
def test_field_separators_are_the_script_s(shell, daemon, ifs):
    """Also of one that has set them before, for all of it."""
    out = run(
        shell,
        """
        h() { echo "$EV_WATCHER"; }
        ended() { echo "$EV_EXIT"; ev_stop; }
        ev_timer h 0
        ev_timer -n later h 3600
        (exit 3) & ev_child ended "$!"
        ev_run
        (ev_send none) 2>err || :
        ev_stop none || echo "status $?"
        """,
        daemon,
        preamble="set -eu\nIFS=$(printf '%s.')\nIFS=${IFS%%.}\n" % ifs,
        stderr='evd.sh: ev_stop: there is no watcher "none"\n',
    )
    assert sorted(out) == ["3", "h", "status 1"]


# The loop's own events


def test_idle(shell, daemon):
    out = run(
        shell,
        """
        n=0
        nothing() { n=$((n + 1)); echo "$EV_EVENT"; [ $n -lt 3 ] || ev_stop nothing; }
        ev_idle nothing
        ev_run
        """,
        daemon,
    )
    assert out == ["idle", "idle", "idle"]


def test_check_and_prepare_stand_around_a_batch(shell, daemon):
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER $EV_EVENT"; }
        ev_prepare -n behind say
        ev_check -n before say
        ev_unref; ev_unref
        ev_timer -n one say 0
        ev_run
        """,
        daemon,
    )
    assert out == ["before check", "one timer", "behind prepare"]


def test_suspend(shell, daemon):
    with daemon.connect() as client:
        client.send({"cmd": "resume"})
        if "error" in client.reply():
            pytest.skip("this daemon has no suspend")
    out = run(
        shell,
        """
        say() { echo "$EV_WATCHER"; }
        ev_timer say 3600
        ev_timer -s -n soon say 0.05
        ev_suspend
        ev_start soon
        ev_remaining say; one=$EV_RESULT
        ev_remaining soon; two=$EV_RESULT
        sleep 0.1
        ev_run nowait
        ev_remaining say; [ "$one" = "$EV_RESULT" ] && echo stands
        ev_remaining soon; [ "$two" = "$EV_RESULT" ] && echo stands
        ev_resume
        ev_stop say
        ev_run
        """,
        daemon,
    )
    assert out == ["stands", "stands", "soon"]
