# PID 1 of the test VM; the lines above name the hierarchy and the scenarios. One verdict line for each.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tracefs tracefs /sys/kernel/tracing
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=200m tmp /tmp
hostname vm
echo; echo "VM UP" # the firmware left an unfinished line
if [ "$HIERARCHY" = v2 ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    echo "+memory +pids +cpu" > /sys/fs/cgroup/cgroup.subtree_control
    CG=/sys/fs/cgroup
else
    mount -t tmpfs cg /sys/fs/cgroup
    for c in memory pids cpuacct; do mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c $c /sys/fs/cgroup/$c || NOV1=$c; done
    mkdir /sys/fs/cgroup/unified; mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    CG=/sys/fs/cgroup/memory
fi

# As WSL ships: the kernel's log for root alone, and everything below the cgroup of a distribution beside that of another one.
if [ "$PROFILE" = wsl ]; then
    echo 1 > /proc/sys/kernel/dmesg_restrict
    for d in wsl-user wsl-user/distro-412 wsl-user/distro-412/non-systemd wsl-user/distro-9 wsl-user/distro-9/systemd; do
        mkdir $CG/$d; echo "+memory +pids +cpu" > $CG/$d/cgroup.subtree_control
    done
    UP=/wsl-user/distro-412/non-systemd; CG=$CG$UP
    case $(cat /proc/cmdline) in *psi=0*) [ -e /proc/pressure ] && echo "PSI is there in spite of psi=0";; esac
fi

say() { echo "VERDICT $1 $2"; }
# record NAME [ARGS]: records to /tmp/NAME until `recorded`. Begins once the agent has said what became of the probe, which takes
# long under emulation; PROBE is 1 where it sees kills.
record() {
    n=$1; shift; sampler record -v --out /tmp/$n "$@" 2>/tmp/$n.err & AGENT=$!
    case "$*" in *'--probe off'*) sleep 3; return;; esac
    i=0; until grep -qs 'kernel probe' /tmp/$n.err || [ $i -gt 300 ]; do usleep 100000; i=$((i+1)); done
    sleep 1; PROBE=0; grep -q 'probe is in place' /tmp/$n.err && ! grep -q 'does without.*every victim' /tmp/$n.err && PROBE=1
}
recorded() { kill -TERM $AGENT; wait $AGENT; RC=$?; sampler info /tmp/$n --json > /tmp/$n.json 2>>/tmp/$n.err; }
# put CGROUP CMD...: runs a command inside.
put() { g=$1; shift; sh -c 'echo $$ > $0/cgroup.procs; exec "$@"' $CG/$g "$@"; }
hog() { sampler demo --leak $1; }
kills() { grep -c '"witnesses"' /tmp/$n.json; }
witnesses() { tr -d ' \n' < /tmp/$n.json | sed 's/"witnesses":/\n/g' | sed -n 's/^\[\([^]]*\)\].*/\1/p'; }
# Every kill has the probe among its witnesses, where there is a probe that sees kills.
seen_by_probe() { [ $PROBE = 0 ] || [ $(witnesses | grep -c probe) = $(witnesses | grep -c .) ]; }
has() { tr -d ' \n' < /tmp/$n.json | grep -q "$1"; }
# check NAME CONDITION...: ok when every word of shell holds.
check() { c=$1; shift; for w in "$@"; do eval "$w" || { say $c "fail $w [rc $RC, kills $(kills), $(witnesses | sort | uniq -c | tr '\n' ' '), $(head -c 300 /tmp/$n.err | tr '\n' ' ')]"; return; }; done; say $c "ok kills $(kills) seen by $(witnesses | sort | uniq -c | tr -s '\n ' ' ')"; }

# What the kernel lets the probe do.
doctor() {
    B=$(cut -d' ' -f1 /proc/uptime); sampler doctor --verbose > /tmp/doctor 2>&1; RC=$?; E=$(cut -d' ' -f1 /proc/uptime)
    cat /tmp/doctor
    STAT=$(sed -n 's/^ *statistics *//p' /tmp/doctor)
    case $(uname -r) in [7-9].*) case $STAT in "walk without a lock"*) ;; *) say doctor "fail memory.stat is not walked: $STAT"; return;; esac;; esac
    grep -q '^[a-z]* *probe ' /tmp/doctor && [ $RC = 0 ] && say doctor "ok $(grep -o '[0-9]* of [0-9]* parts' /tmp/doctor) of the probe, $(sed -n 's/^ *walk  *\([a-z ]*[a-z]\)  .*/\1/p' /tmp/doctor), after $(echo "$E $B" | awk '{ print $1 - $2 }') s" || say doctor "fail rc $RC $(tail -3 /tmp/doctor | tr '\n' ' ')"
}
memcg_kill() {
    mkdir $CG/a; echo 24M > $CG/a/memory.max; echo 0 > $CG/a/memory.swap.max
    record a --interval 10ms
    put a sampler demo --leak 64
    sleep 4; recorded
    check memcg_kill '[ $RC = 0 ]' '[ $(kills) = 1 ]' 'has \"constraint\":\"memcg\"' 'has \"victim_cgroup\":\"$UP/a\"' 'has \"limit_cgroup\":\"$UP/a\"' \
        'witnesses | grep -q kmsg' 'witnesses | grep -q memory.events' 'seen_by_probe'
    rmdir $CG/a
}
oom_group() {
    mkdir $CG/g; echo 40M > $CG/g/memory.max; echo 1 > $CG/g/memory.oom.group
    record g --interval 10ms
    put g sleep 1000 &
    put g sampler demo --leak 128
    sleep 4; recorded
    check oom_group '[ $RC = 0 ]' '[ $(kills) = 2 ]' 'has \"group\":true' 'seen_by_probe'
    rmdir $CG/g
}
# What ends otherwise beside an OOM kill: by whom, and whether it is one.
deaths() {
    mkdir $CG/k $CG/w $CG/f $CG/o $CG/t; echo 24M > $CG/o/memory.max; echo 0 > $CG/o/memory.swap.max
    record d --interval 50ms
    [ $PROBE = 1 ] || { recorded; say deaths "skip no probe"; return; }
    put k sleep 1000 & put t sleep 1000 & put w sh -c 'sleep 1000 & sleep 1000 & sleep 1000' &
    sleep 2
    sh -c "kill -9 $(cat $CG/k/cgroup.procs); true"; sh -c "kill -TERM $(cat $CG/t/cgroup.procs); true"
    sh -c "echo 1 > $CG/w/cgroup.kill"
    put f sh -c 'exit 3'; put t true; put o sampler demo --leak 64
    sleep 4; recorded
    COLUMNS=120 sampler postmortem /tmp/d --list > /tmp/d.list; cat /tmp/d.list
    check deaths '[ $RC = 0 ]' '[ $(kills) = 1 ]' '[ $(grep -c "no OOM kill" /tmp/d.list) = 3 ]' '[ $(wc -l < /tmp/d.list) = 4 ]' \
        'grep -q "in .\{0,1\}k.\{0,1\} *was killed (SIGKILL) by .sh. " /tmp/d.list' 'grep -q "in .\{0,1\}w.\{0,1\} *was killed.*through cgroup.kill" /tmp/d.list' 'grep -q "in .\{0,1\}f.\{0,1\} *ended with exit code 3" /tmp/d.list'
    rmdir $CG/k $CG/w $CG/f $CG/o $CG/t
}
global_kill() {
    mkdir $CG/big
    echo 1000 > /proc/self/oom_score_adj
    record big --interval 50ms
    echo 0 > /proc/$AGENT/oom_score_adj 2>/dev/null
    put big sampler demo --leak 2000
    echo 0 > /proc/self/oom_score_adj
    sleep 4; recorded
    check global_kill '[ $RC = 0 ]' '[ $(kills) -ge 1 ]' 'has \"constraint\":\"none\"' 'has \"victim_cgroup\":\"$UP/big\"' 'seen_by_probe'
    rmdir $CG/big
}
run_137() {
    n=run; sampler run --memory-max 24M --out /tmp/run -- sampler demo --leak 64 2>/tmp/run.err; RC=$?
    sampler info /tmp/run --json > /tmp/run.json
    sampler run --out /tmp/run7 -- sh -c 'exit 7' 2>/dev/null; SEVEN=$?
    check run_137 '[ $RC = 137 ]' '[ $SEVEN = 7 ]' '[ $(kills) = 1 ]' 'grep -q "its own limit of 24 MiB" /tmp/run.err'
}
high_throttle() {
    mkdir $CG/h; echo 16M > $CG/h/memory.high
    record h --interval 20ms --cgroup $UP/h
    put h timeout 8 sampler demo --leak 40
    recorded
    sampler export /tmp/h --fields events_high 2>/dev/null | cut -d, -f5 | sort -n | tail -1 > /tmp/high
    check high_throttle '[ $RC = 0 ]' '[ $(kills) = 0 ]' '[ $(cat /tmp/high) -gt 0 ]'
    rmdir $CG/h
}
churn() {
    record c --interval 10ms
    i=0; while [ $i -lt 100 ]; do mkdir $CG/c$i; usleep 60000; rmdir $CG/c$i; i=$((i+1)); done
    sleep 1; recorded
    check churn '[ $RC = 0 ]' 'has \"cgroup_created\":100,' 'has \"cgroup_removed\":100,'
}
demo() {
    n=demo; sampler demo --out /tmp/demo 2>/tmp/demo.err; RC=$?
    sampler info /tmp/demo --json > /tmp/demo.json
    check demo '[ $RC = 0 ]' '[ $(kills) = 1 ]' 'grep -q "its own limit of 64 MiB" /tmp/demo.err'
}
# One cgroup under load, recorded with the probe and without it at the same time.
probe_and_files() {
    [ -z "$NOV1" ] || { say probe_and_files "skip this kernel has no cgroup v1 $NOV1 controller"; return; }
    mkdir $CG/p; [ "$HIERARCHY" = v2 ] && echo 40M > $CG/p/memory.max || echo 40M > $CG/p/memory.limit_in_bytes
    record with --interval 100ms --slow-interval 1s --cgroup $UP/p
    grep -q 'does without.*one system call\|no kernel probe' /tmp/with.err && { kill $AGENT; wait $AGENT; rmdir $CG/p; say probe_and_files "skip no walk: $(grep -o 'one system call ([^)]*\|no kernel probe.*' /tmp/with.err | head -1 | cut -c1-120)"; return; }
    WITH=$AGENT
    grep -q 'probe is in place' /tmp/with.err || { kill $AGENT; wait $AGENT; rmdir $CG/p; say probe_and_files "fail the probe did not come within 30 s: $(tail -1 /tmp/with.err)"; return; }
    record without --interval 100ms --slow-interval 1s --cgroup $UP/p --probe off
    put p sh -c 'i=0; while [ $i -lt 12 ]; do dd if=/dev/zero of=/dev/null bs=$((i*2+4))M count=1; usleep 300000; i=$((i+1)); done; sleep 4' 2>/dev/null
    kill -TERM $AGENT $WITH; wait $AGENT $WITH; RC=$?; n=with; echo "{}" > /tmp/with.json
    for a in with without; do sampler export /tmp/$a > /tmp/$a.csv; head -1 /tmp/$a.csv > /tmp/$a.head; done
    # Every column that both have: the last value of each must be the same, sizes within the pages a CPU holds back.
    last() { awk -F, -v want=$2 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } at[want] && $(at[want]) != "" { value = $(at[want]) } END { print value }' /tmp/$1.csv; }
    BAD=; SAME=0
    for f in $(tr ',' ' ' < /tmp/with.head); do
        case $f in time*|cgroup|id|gap_us|cpu_*|psi_*|populated|pids) continue;; esac
        a=$(last with $f); b=$(last without $f); [ -n "$a$b" ] || continue
        # Events by a twentieth: the last readings are up to a second apart.
        case $f in pg*|*fault*|thp*|*activate*|*restore*) SLACK=$((${b:-0} / 20 + 64));; *) SLACK=524288;; esac
        awk -v a="$a" -v b="$b" -v slack=$SLACK 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a == b || a != "" && b != "" && d <= slack) }' && SAME=$((SAME+1)) || BAD="$BAD $f:$a/$b"
    done
    check probe_and_files 'cmp -s /tmp/with.head /tmp/without.head' '[ -z "$BAD" ] || { say bad "$BAD"; false; }' '[ $SAME -gt 10 ]' 'echo "$SAME columns" >&2' 'grep -q $UP/p, /tmp/with.csv' '[ "$(last with peak)" -gt 20000000 ]'
    rmdir $CG/p
}
# Kills in a row, by a limit, by group and of the whole machine: as many as the kernel counts, none twice. The kernel counts the
# task that it chose in a group once more when it comes to it among the others.
many_kills() {
    count() { sed -n 's/^oom_kill //p' /proc/vmstat; }
    mkdir $CG/m $CG/g $CG/big; echo 8M > $CG/m/memory.max; echo 8M > $CG/g/memory.max; echo 1 > $CG/g/memory.oom.group
    echo 1000 > /proc/self/oom_score_adj
    record k --interval 100ms
    echo 0 > /proc/$AGENT/oom_score_adj
    BEFORE=$(count)
    i=0; while [ $i -lt 185 ]; do put m dd if=/dev/zero of=/dev/null bs=64M count=1; i=$((i+1)); done 2>/dev/null
    i=0; while [ $i -lt 8 ]; do put g sleep 1000 & put g dd if=/dev/zero of=/dev/null bs=64M count=1; wait $!; i=$((i+1)); done 2>/dev/null
    i=0; while [ $i -lt 3 ]; do put big sampler demo --leak 2000; i=$((i+1)); done 2>/dev/null
    echo 0 > /proc/self/oom_score_adj
    sleep 4; DIED=$(($(count) - BEFORE - 8)); recorded
    check many_kills '[ $RC = 0 ]' '[ $DIED -ge 200 ]' '[ $(kills) = $DIED ]' 'seen_by_probe' 'has \"constraint\":\"none\"' 'has \"group\":true'
    rmdir $CG/m $CG/g $CG/big
}
# guarded NAME [ARGS]: guards /g with a budget of 64 MiB until `unguarded`; RC is then its end, and NAME.jsonl holds its events.
guarded() { n=$1; shift; sampler guard --budget 64M --cgroup $UP/g --probe off --out /tmp/$n "$@" 2>/tmp/$n.err & AGENT=$!; sleep 4; }
unguarded() { kill -TERM $AGENT; wait $AGENT; RC=$?; sampler export /tmp/$n --table events --format jsonl 2>>/tmp/$n.err | grep '"kind":"guard"' > /tmp/$n.jsonl; echo "{}" > /tmp/$n.json; }
acts() { grep -c "\"action\":\"$1\"" /tmp/$n.jsonl; }
# Raises lead from the first limit to the last without a gap.
chain() { grep '"action":"raise"' /tmp/$n.jsonl | sed 's/.*"from":{"max":\([0-9]*\)}.*"to":{"max":\([0-9]*\)}.*/\1 \2/' | awk -v last=$1 -v end=$2 '$1 != last { bad = 1 } { last = $2 } END { exit bad || last != end }'; }
# The same rise to 80 MiB under a limit of 48 MiB beside the recorder alone, beside a dry run, and beside a guard that acts.
guard() {
    [ -z "$NOV1" ] || { say guard "skip this kernel has no cgroup v1 $NOV1 controller"; return; }
    [ "$HIERARCHY" = v2 ] && L=memory.max || L=memory.limit_in_bytes
    mkdir $CG/g; echo 48M > $CG/g/$L; FIRST=$(cat $CG/g/$L)
    rise() { put g sampler demo --leak 80 --hold 2; ROSE=$?; MAX=$(cat $CG/g/$L); }
    record alone --probe off; rise; recorded; ALONE=$ROSE; KILLS=$(kills)
    guarded dry; rise; unguarded; DRY=$ROSE; DRYMAX=$MAX; SAID=$(acts raise); DID=$(grep -c '"applied":true' /tmp/dry.jsonl)
    guarded wet --apply; rise; unguarded; AFTER=$(cat $CG/g/$L); cat /tmp/wet.err
    check guard '[ $RC = 0 ]' '[ $ALONE = 137 ]' '[ $KILLS = 1 ]' '[ $DRY = 137 ]' '[ $DRYMAX = $FIRST ]' '[ $SAID -ge 1 ]' '[ $DID = 0 ]' \
        '[ $ROSE = 0 ]' '[ $MAX -gt 83886080 ]' '[ $MAX -le $((FIRST + 67108864)) ]' 'chain $FIRST $MAX' '[ $(acts raise) = $(grep -c "guard: raise" /tmp/wet.err) ]' \
        '[ $(acts restore) = 1 ]' '[ $AFTER = $FIRST ]' 'sampler info /tmp/wet --json | grep -q "\"oom_kills\": \[\]"'
    rmdir $CG/g
}
# Cache is taken while the rest grows, before it is in the way.
guard_reclaim() {
    [ -e $CG/g/memory.reclaim ] || mkdir $CG/g; [ -e $CG/g/memory.reclaim ] || { say guard_reclaim "skip this kernel has no memory.reclaim (5.19 and later have)"; rmdir $CG/g; return; }
    mkdir -p /mnt; mount -t ext4 /dev/nvme0n1 /mnt 2>/tmp/mount.err || { say guard_reclaim "fail no disk: $(head -1 /tmp/mount.err)"; return; }
    echo 64M > $CG/g/memory.max
    guarded cache --apply
    put g sh -c 'head -c 45000000 /dev/zero > /mnt/file; sync; sampler demo --leak 30 --step 64 --hold 1'; ROSE=$?
    unguarded; rm /mnt/file; umount /mnt
    check guard_reclaim '[ $RC = 0 ]' '[ $ROSE = 0 ]' '[ $(acts reclaim) -ge 1 ]' 'grep reclaim /tmp/cache.jsonl | grep -q "\"applied\":true"' '! grep reclaim /tmp/cache.jsonl | grep -q error'
    rmdir $CG/g
}
hybrid_kill() {
    [ -z "$NOV1" ] || { say hybrid_kill "skip this kernel has no cgroup v1 $NOV1 controller"; return; }
    mkdir $CG/a; echo 24M > $CG/a/memory.limit_in_bytes
    record a --interval 10ms
    put a sampler demo --leak 64
    sleep 4; recorded
    check hybrid_kill '[ $RC = 0 ]' '[ $(kills) = 1 ]' 'has \"constraint\":\"memcg\"' 'has \"victim_cgroup\":\"$UP/a\"' 'witnesses | grep -q memory.events' 'has \"hierarchy\":\"hybrid\"' 'seen_by_probe'
    rmdir $CG/a
}

# Real input for the parsers: the kernel's log of several kills and the files of a cgroup, onto the disk.
collect() {
    mkdir -p /mnt; mount -t ext4 /dev/nvme0n1 /mnt || return
    mkdir $CG/web; [ "$HIERARCHY" = v2 ] && echo 24M > $CG/web/memory.max || echo 24M > $CG/web/memory.limit_in_bytes
    # Names that try to look like the rest of the line, and to colour a terminal.
    for name in 'hog' 'a b) total-vm:1' "$(printf 'x\033[31m\n(y')"; do
        cp /bin/sampler "/tmp/$name"; put web "/tmp/$name" demo --leak 64; rm "/tmp/$name"
    done
    if [ "$HIERARCHY" = v2 ]; then
        mkdir $CG/group; echo 40M > $CG/group/memory.max; echo 1 > $CG/group/memory.oom.group
        put group sleep 1000 & put group sampler demo --leak 128
        mkdir $CG/big; echo 1000 > /proc/self/oom_score_adj; put big sampler demo --leak 2000; echo 0 > /proc/self/oom_score_adj
    fi
    put web sh -c 'head -c 9000000 /dev/zero > /tmp/shm; head -c 6000000 /dev/zero | tail -c 5000000 | { sleep 3; wc -c; }' & sleep 2
    mkdir /mnt/files
    for file in $CG/web/memory.* $CG/web/cpu.stat $CG/web/pids.current $CG/web/cgroup.events; do
        case $file in *numa*|*slab*|*kmem*|*force*|*move*|*level|*event_control|*reclaim) continue;; esac
        cat $file > /mnt/files/${file##*/}
    done
    mkdir /mnt/proc; cat /proc/meminfo > /mnt/proc/meminfo; cat /proc/vmstat > /mnt/proc/vmstat; cat /proc/pressure/memory > /mnt/proc/pressure-memory
    timeout 2 cat /dev/kmsg | sed -n '/invoked oom-killer/,$p' > /mnt/kmsg
    umount /mnt
}
# Never ends: the machine is killed from outside. Says first what the life before left on the disk.
crash() {
    mkdir -p /mnt
    i=0; until mount -t ext4 /dev/nvme0n1 /mnt 2>/tmp/mount.err; do
        i=$((i+1)); [ $i -lt 100 ] || { echo "FAILED mount: $(cat /tmp/mount.err)"; poweroff -f; }; usleep 100000
    done
    if [ -d /mnt/rec ]; then
        sampler info /mnt/rec --json > /tmp/info.json 2>/tmp/info.err
        # A torn tail, which the machine's end may leave, is named and has a code of its own.
        case $? in 0 | 5) ;; *) echo "FAILED info: $(tr '\n' ' ' < /tmp/info.err)" ;; esac
        echo "RECOVERED $(tr -d '\n' < /tmp/info.json)"
    fi
    # The wall clock at the turn of a second, and the uptime at that moment.
    s=$(date +%s); while [ $(date +%s) = $s ]; do :; done; echo "CLOCK $(date +%s) $(cut -d' ' -f1 /proc/uptime)"
    mkdir $CG/work
    put work sh -c 'while :; do head -c 3000000 /dev/zero | tail > /dev/null; done' &
    # Sealed often, so that the kill also falls into sealing.
    sampler record --out /mnt/rec --interval 10ms --seal-every 2s 2>/tmp/crash.err & AGENT=$!
    sleep 2
    kill -0 $AGENT || echo "FAILED record: $(tr '\n' ' ' < /tmp/crash.err)"
    while :; do echo "BEAT $(cut -d' ' -f1 /proc/uptime)"; usleep 100000; done
}

# Where all of the memory is, at every second: processes, page cache, tmpfs, dentries, huge pages, and 500 cgroups that were removed.
machine() {
    [ -z "$NOV1" ] || { say machine "skip this kernel has no cgroup v1 $NOV1 controller"; return; }
    mkdir -p /mnt; mount -t ext4 /dev/nvme0n1 /mnt 2>/tmp/mount.err || { say machine "fail no disk: $(head -1 /tmp/mount.err)"; return; }
    mkdir $CG/m $CG/f $CG/gone; [ "$HIERARCHY" = v2 ] && echo "+memory" > $CG/gone/cgroup.subtree_control
    record m --interval 200ms --probe off
    put m sampler demo --base 20 --leak 80 --step 50 --hold 1000 & HELD=$!
    put f sh -c 'head -c 60000000 /dev/zero > /mnt/cache; head -c 40000000 /dev/zero > /tmp/shm'
    echo 20 > /proc/sys/vm/nr_hugepages
    awk 'BEGIN { for (i = 0; i < 250000; i++) getline line < ("/mnt/no-such-file-" i) }' &
    i=0; while [ $i -lt 500 ]; do mkdir $CG/gone/$i; sh -c "echo 0 > $CG/gone/$i/cgroup.procs; echo x > /mnt/gone$i"; rmdir $CG/gone/$i; i=$((i+1)); done
    wait $!; sleep 3
    sampler machine --all > /tmp/m.live 2>&1; LIVE=$?
    kill $HELD; sleep 2; recorded
    cat /tmp/m.live; sampler machine /tmp/m --all --at -4s
    sampler machine /tmp/m --json | tr -d ' \n' > /tmp/m.doc
    number() { sed -n "s/.*\"$1\":\([0-9.e-]*\).*/\1/p" /tmp/m.doc; }
    size() { sed -n "s/.*\"kind\":\"$1\",\"bytes\":\([0-9]*\).*/\1/p" /tmp/m.doc; }
    SAYS="at most $(number error) of the total not explained in $(number accounts) accounts, $(number removed) removed cgroups hold at most $(number removed_at_most)"
    for w in '[ $RC = 0 ]' '[ $LIVE = 0 ]' '[ $(number accounts) -ge 20 ]' 'awk -v e=$(number error) "BEGIN { exit !(e <= 0.02) }"' '[ $(size huge_pages_free) = 41943040 ]' \
        '[ $(size shared_memory) -gt 40000000 ]' '[ $(size slab_reclaimable) -gt 30000000 ]' 'grep -q "dentry [0-9]" /tmp/m.live' 'grep -q "/tmp [0-9]" /tmp/m.live'; do
        eval "$w" || { say machine "fail $w: $SAYS [$(head -c 300 /tmp/m.err | tr '\n' ' ')]"; SAYS=; break; }
    done
    [ -z "$SAYS" ] || say machine "ok $SAYS"
    echo 0 > /proc/sys/vm/nr_hugepages; rm /tmp/shm /mnt/cache /mnt/gone*; umount /mnt; rmdir $CG/m $CG/f $CG/gone
}
# Never ends: memory does, and the machine is killed from outside. What is left is printed, so that the moment is known.
last_words() {
    dmesg -n 4; mkdir $CG/hog $CG/rest
    put rest sampler demo --base 30 --leak 1 --hold 10000 &
    sampler record --out /tmp/lw --interval 100ms --probe off --last-words 2>/tmp/lw.err & sleep 4
    kill -0 $! || echo "FAILED record: $(tr '\n' ' ' < /tmp/lw.err)"
    put hog sampler demo --leak 4000 --step 400 &
    while :; do echo "LEFT $(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)"; usleep 100000; done
}
wsl_user() {
    # The tree of WSL 2.9.8 and later: a limit on all distros together, containers far below, none of their own.
    W=$CG/wsl-user; H=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    D=wsl-user/distro-412/non-systemd/docker
    mkdir $W; echo 40M > $W/memory.max; echo 0 > $W/memory.swap.max
    for d in $W $W/distro-412 $W/distro-412/non-systemd $CG/$D; do mkdir -p $d; echo "+memory +pids" > $d/cgroup.subtree_control; done
    record w --interval 10ms
    mkdir $CG/$D/$H; sleep 1
    put $D/$H sampler demo --leak 64
    sleep 4; recorded
    check wsl_user '[ $RC = 0 ]' '[ $(kills) = 1 ]' 'has \"constraint\":\"memcg\"' 'has \"limit_cgroup\":\"$UP/wsl-user\"' 'has \"victim_cgroup\":\"$UP/$D/$H\"' \
        'witnesses | grep -q kmsg' 'witnesses | grep -q memory.events'
    rmdir $CG/$D/$H
}
peak_interval() {
    mkdir $CG/p
    ( exec 3<>$CG/p/memory.peak && echo reset >&3 ) 2>/dev/null || { say peak_interval "skip this kernel cannot reset memory.peak (6.12 and later can)"; rmdir $CG/p; return; }
    record p --interval 1s --slow-interval 1s --cgroup $UP/p
    # 30 MB for a moment, between two samples.
    put p sh -c 'head -c 30000000 /dev/zero | tail > /dev/null; sleep 6'
    recorded
    most() { sampler export /tmp/p --fields $1 2>/dev/null | cut -d, -f5 | grep -v '[a-z]' | sort -n | tail -1; }
    last() { sampler export /tmp/p --fields $1 2>/dev/null | cut -d, -f5 | grep -v '[a-z]' | tail -1; }
    check peak_interval '[ $RC = 0 ]' '[ $(most peak_interval) -gt 29000000 ]' '[ $(last peak_interval) -lt 20000000 ]' '[ $(last peak) -gt 29000000 ]'
    rmdir $CG/p
}
readonly_disk() {
    mkdir -p /mnt; mount -t ext4 /dev/nvme0n1 /mnt 2>/tmp/mount.err || { say readonly_disk "skip no disk: $(head -1 /tmp/mount.err)"; return; }
    n=ro; sampler record --out /mnt/rec --interval 10ms --seal-every 2s 2>/tmp/ro.err & AGENT=$!
    sleep 7; BEFORE=$(date +%s)
    echo u > /proc/sysrq-trigger; sleep 4
    kill -0 $AGENT; ALIVE=$?
    n=ro; kill -TERM $AGENT; wait $AGENT; RC=$?
    sampler info /mnt/rec --json > /tmp/ro.json; INFO=$?
    TO=$(date -d "$(tr -d ' \n' < /tmp/ro.json | sed 's/.*"to":"\([^T]*\)T\([0-9:]*\).*/\1 \2/')" +%s)
    check readonly_disk '[ $ALIVE = 0 ]' '[ $INFO = 0 ]' '[ $((BEFORE - TO)) -le 1 ]' 'has \"problems\":..}'
}
# The field on v2: a restart loop, a storm of kills in a tmpfs, oom.group, a nested child, a shared limit, cgroup.kill, a SIGKILL of
# somebody like earlyoom, and the machine out of memory, all in one recording. One verdict; what failed is named in it.
# truth NAME CONDITION...: each word of shell must hold. BAD collects what does not.
truth() { t=$1; shift; for w in "$@"; do eval "$w" && HELD=$((HELD+1)) || BAD="$BAD, $t: $w"; done; }
# incidents PATTERN...: pages of the recording, a line each, that match each pattern.
incidents() { cp /tmp/pages /tmp/found; for p in "$@"; do grep -e "$p" /tmp/found > /tmp/found2; mv /tmp/found2 /tmp/found; done; cat /tmp/found; }
many() { incidents "$@" | wc -l; }
of_limit() { echo "\"limit\": { \"owner\": \"$1\", \"cgroup\": \"$UP$2\""; }
of_death() { echo "\"death\": { \"time_us\": [0-9]*, \"cgroup\": \"$UP$1\""; }
oom_kills() { sed -n 's/^oom_kill //p' $CG/$1/memory.events.local; }
limited() { mkdir -p $CG/$1; echo $2 > $CG/$1/memory.max; echo 0 > $CG/$1/memory.swap.max; }
field() {
    H=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde; BAD=; HELD=0
    mkdir $CG/docker /tmp/full; echo "+memory +pids" > $CG/docker/cgroup.subtree_control
    printf '#!/bin/sh\nkill -9 $1\n' > /tmp/earlyoom; chmod +x /tmp/earlyoom
    mkdir /tmp/hooks
    record f --interval 100ms --burst 20ms --on-oom 'cat > /tmp/hooks/$$.json'
    BEFORE=$(sed -n 's/^oom_kill //p' /proc/vmstat)
    # Kills that never pause: the files stay, so that every dd is killed from now on.
    limited storm 12M; mount -t tmpfs -o size=100m full /tmp/full
    ( i=0; until [ -e /tmp/enough ]; do i=$((i+1)); put storm dd if=/dev/zero of=/tmp/full/$i bs=512k count=2; usleep 300000; done ) 2>/dev/null & STORM=$!
    # Lives of a workload, each in a cgroup that is made again.
    ( i=0; while [ $i -lt 4 ]; do i=$((i+1)); limited docker/${H}0 48M; put docker/${H}0 sampler demo --base 8 --leak 200 --step 20; rmdir $CG/docker/${H}0; sleep 2; done ) & LOOP=$!
    sleep 15
    limited group 40M; echo 1 > $CG/group/memory.oom.group
    put group sleep 1000 & put group sampler demo --leak 128 --step 64; KILLED=$(cut -d. -f1 /proc/uptime)
    # While it storms on: the list has this kill, soon.
    AFTER=none; until [ $(($(cut -d. -f1 /proc/uptime) - KILLED)) -gt 20 ]; do
        sleep 2; sampler postmortem /tmp/f --list 2>/dev/null | grep -v 'storm' | grep -q 'group' && { AFTER=$(($(cut -d. -f1 /proc/uptime) - KILLED)); break; }
    done
    limited docker/${H}1 96M; echo "+memory" > $CG/docker/${H}1/cgroup.subtree_control
    limited docker/${H}1/job 32M; put docker/${H}1/job sampler demo --base 4 --leak 100 --step 40
    limited pod 80M; echo "+memory" > $CG/pod/cgroup.subtree_control; mkdir $CG/pod/db $CG/pod/batch
    put pod/db sampler demo --base 48 --leak 1 --hold 1000 & DB=$!
    put pod/batch sampler demo --base 4 --leak 200 --step 30 & wait $DB; DBRC=$?; for p in $(cat $CG/pod/batch/cgroup.procs); do kill -9 $p; done
    for k in 2 3; do limited docker/${H}$k 96M; put docker/${H}$k sampler demo --base 40 --leak 1 --hold 1000 & done; sleep 8
    [ ! -e $CG/docker/${H}2/cgroup.kill ] || echo 1 > $CG/docker/${H}2/cgroup.kill
    /tmp/earlyoom $(head -1 $CG/docker/${H}3/cgroup.procs)
    wait $LOOP
    mkdir $CG/big; echo 1000 > /proc/self/oom_score_adj; echo 0 > /proc/$AGENT/oom_score_adj
    put big sampler demo --leak 2000 --step 4096; echo 0 > /proc/self/oom_score_adj
    sleep 5; touch /tmp/enough; wait $STORM; sleep 4
    DIED=$(($(sed -n 's/^oom_kill //p' /proc/vmstat) - BEFORE)); STORMED=$(oom_kills storm)
    recorded
    sampler postmortem /tmp/f --all --json 2>>/tmp/f.err | tr -s ' \n' '  ' | sed 's/{ "format": "sampler.incident/\n&/g' > /tmp/pages
    tr -d ' \n' < /tmp/f.json | grep -o '"cgroup":"[^"]*"' | sort | uniq -c > /tmp/places; cat /tmp/places
    IN_STORM=$(sed -n 's/ *\([0-9]*\) "cgroup":"\/storm"/\1/p' /tmp/places)
    # The group's chosen task is counted once more by the kernel.
    truth counts '[ $(kills) = $((DIED - 1)) ]' '[ $STORMED -gt 30 ]' '[ $IN_STORM = $STORMED ]'
    truth soon '[ $AFTER != none ]' '[ $AFTER -le 8 ]' '[ $(ls /tmp/hooks/*.json | wc -l) -ge 7 ]'
    truth storm 'incidents "$(of_limit own /storm)" | grep -q "\"cause\": \"tmpfs\""' '[ $(many "$(of_limit own /storm)") = $(many "\"cgroup\": \"/storm\", \"anon\"") ]'
    truth loop '[ $(many "$(of_limit own /docker/${H}0)") = 4 ]' '[ $(incidents "$(of_limit own /docker/${H}0)" | tail -n +2 | grep -c "\"cause\": \"leak\"") = 3 ]'
    truth group 'has \"group\":true' '[ $(many "$(of_limit own /group)") = 1 ]' '[ $(sed -n "s/ *\([0-9]*\) \"cgroup\":\"\/group\"/\1/p" /tmp/places) = 2 ]'
    truth nested '[ $(many "$(of_limit own /docker/${H}1/job)") = 1 ]'
    truth pod '[ $DBRC = 137 ]' '[ $(many "$(of_limit ancestor /pod)" "\"cause\": \"neighbour\"") = 1 ]'
    truth machine '[ $(many "\"owner\": \"machine\"" "\"cgroup\": \"/big\"") -ge 1 ]'
    [ ! -e $CG/docker/${H}2/cgroup.kill ] || truth cgroup.kill '[ $(many "$(of_death /docker/${H}2)" "\"verdict\": \"[^\"]*SIGKILL") = 1 ]'
    truth earlyoom '[ $(many "$(of_death /docker/${H}3)" "\"verdict\": \"[^\"]*SIGKILL") = 1 ]'
    [ $PROBE = 0 ] || truth sender '[ $(many "$(of_death /docker/${H}3)" "\"verdict\": \"[^\"]*earlyoom") = 1 ]'
    # Those two, and `batch`, which the script ended.
    truth deaths '[ $(many "\"kind\": \"death\"") -le 3 ]' '[ $(many "$(of_death /pod/batch)") -le 1 ]'
    cut -c1-400 /tmp/pages | head -30
    [ -z "$BAD" ] && say field "ok $HELD truths, $DIED kills, $STORMED of them in the storm, listed after $AFTER s" || say field "fail $HELD hold, not$BAD [kills $(kills) of $DIED, storm $IN_STORM of $STORMED, listed after $AFTER s]"
}
# Twenty workloads, each again under the limit it was advised. On the disk, because files of a tmpfs are no page cache.
advised() {
    mkdir -p /mnt; mount -t ext4 /dev/nvme0n1 /mnt 2>/tmp/mount.err || { say advised "fail no disk: $(head -1 /tmp/mount.err)"; return; }
    TMPDIR=/mnt xtask replay --sampler /bin/sampler --seconds 12 --together 2 > /tmp/advised 2>&1; RC=$?
    cat /tmp/advised
    [ $RC = 0 ] && say advised "ok $(grep 'replays of' /tmp/advised)" || say advised "fail rc $RC $(tail -2 /tmp/advised | tr '\n' ' ')"
    umount /mnt
}

for s in $SCENARIOS; do $s; done
echo "VM DONE"
poweroff -f
