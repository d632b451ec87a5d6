# Real incidents, each recorded onto the disk. The tools are below, in the script of the scenarios.
# begin_story: makes the disk and the parent of the containers ready, and records.
begin_story() {
    mkdir -p /mnt /tmp/bin; mount -t ext4 /dev/nvme0n1 /mnt || return
    mkdir $CG/docker; echo "+memory +pids +cpu" > $CG/docker/cgroup.subtree_control
    sampler record --out /mnt/rec --interval 100ms --burst 20ms --seal-every 1h 2>/mnt/record.err & AGENT=$!
    echo -900 > /proc/$AGENT/oom_score_adj
    sleep 4
}
# end_story: ends the recording a while after the last kill.
end_story() { sleep 5; kill -TERM $AGENT; wait $AGENT; say $1 "ok $(sampler info /mnt/rec --json | grep -c '"witnesses"') kills"; umount /mnt; }
# container PATH [LIMIT]
container() { mkdir $CG/$1; [ -z "$2" ] || echo $2 > $CG/$1/memory.max; [ -z "$2" ] || echo 0 > $CG/$1/memory.swap.max; }
# app PATH NAME LOAD...: a program of that name that uses memory, in the background.
app() { g=$1; ln -sf /bin/sampler "/tmp/bin/$2"; p=/tmp/bin/$2; shift 2; put $g $p demo "$@" & }

own_limit_leak() {
    begin_story; container docker/web 128M; container docker/api 64M
    app docker/web nginx --leak 1 --base 20 --hold 1000
    app docker/api api --base 12 --leak 200 --step 6; wait $!
    end_story own_limit_leak
}
burst() {
    begin_story; container docker/render 64M
    app docker/render render --base 18 --leak 1 --hold 1000
    sleep 40; app docker/render convert --base 120 --leak 1; wait $!
    end_story burst
}
tmpfs_fill() {
    begin_story; container docker/upload 64M
    app docker/upload server --base 10 --leak 1 --hold 1000
    mkdir /tmp/up
    put docker/upload sh -c 'i=0; while :; do i=$((i+1)); dd if=/dev/zero of=/tmp/up/$i bs=64k count=12 2>/dev/null; usleep 500000; done' & W=$!
    i=0; while [ $i -lt 75 ] && ! grep -q '^oom_kill [1-9]' $CG/docker/upload/memory.events; do sleep 1; i=$((i+1)); done
    sleep 1; kill $W; end_story tmpfs_fill
}
cache_not_at_fault() {
    begin_story; mkdir $CG/docker/pod; echo 100M > $CG/docker/pod/memory.max; echo 0 > $CG/docker/pod/memory.swap.max
    echo "+memory +pids" > $CG/docker/pod/cgroup.subtree_control
    container docker/pod/backup; container docker/pod/api
    dd if=/dev/zero of=/mnt/big bs=1M count=130 2>/dev/null; sync; echo 3 > /proc/sys/vm/drop_caches
    put docker/pod/backup sh -c 'while :; do cat /mnt/big > /dev/null; usleep 300000; done' & W=$!
    app docker/pod/api api --base 12 --leak 300 --step 11; wait $!
    kill $W; sleep 1; rm /mnt/big; end_story cache_not_at_fault
}
sibling() {
    begin_story; mkdir $CG/docker/pod; echo 110M > $CG/docker/pod/memory.max; echo 0 > $CG/docker/pod/memory.swap.max
    echo "+memory +pids" > $CG/docker/pod/cgroup.subtree_control
    container docker/pod/db; container docker/pod/batch
    app docker/pod/db postgres --base 60 --leak 1 --hold 1000; W=$!
    app docker/pod/batch batch --base 4 --leak 300 --step 6; wait $W
    end_story sibling
}
oom_group_story() {
    begin_story; container docker/workers 80M; echo 1 > $CG/docker/workers/memory.oom.group
    for i in 1 2 3; do app docker/workers worker$i --base 8 --leak 1 --hold 1000; done
    app docker/workers leaky --base 4 --leak 200 --step 7; wait $!
    end_story oom_group_story
}
global_no_swap() {
    begin_story; container docker/web 128M; container docker/job
    app docker/web nginx --leak 1 --base 20 --hold 1000
    app docker/job job --base 10 --leak 2000 --step 80; wait $!
    end_story global_no_swap
}
global_swap() {
    begin_story; dd if=/dev/zero of=/mnt/swap bs=1M count=96 2>/dev/null; mkswap /mnt/swap; swapon /mnt/swap || say global_swap "fail swapon"
    container docker/web 128M; mkdir $CG/docker/job
    app docker/web nginx --leak 1 --base 20 --hold 1000
    app docker/job job --base 10 --leak 2000 --step 90; wait $!
    swapoff /mnt/swap; rm -f /mnt/swap; end_story global_swap
}
sum_of_limits() {
    begin_story
    for c in a b c d; do container docker/svc-$c 300M; app docker/svc-$c svc-$c --base 90 --leak 1000 --step 14; done; wait $!
    end_story sum_of_limits
}
fork_bomb() {
    begin_story; container docker/ci 64M; cat /bin/busybox > /dev/null
    put docker/ci sh -c 'sleep 20; i=0; while :; do sh -c "x=\$(head -c 60000 /dev/zero | tr \\\\0 x); sleep 1000; :" & i=$((i+1)); usleep 60000; done' & W=$!
    i=0; while [ $i -lt 100 ] && ! grep -q '^oom_kill [1-9]' $CG/docker/ci/memory.events; do sleep 1; i=$((i+1)); done
    sleep 1; for p in $(cat $CG/docker/ci/cgroup.procs); do kill -9 $p; done; end_story fork_bomb
}
jvm_heap() {
    begin_story; container docker/orders 96M
    app docker/orders java --base 58 --leak 1 --step 0 --garbage 26; W=$!
    sleep 45; app docker/orders jit --base 14 --leak 1 --hold 1000; wait $W
    sleep 3; end_story jvm_heap
}
storm() {
    begin_story; mkdir $CG/fleet; echo 100M > $CG/fleet/memory.max; echo 0 > $CG/fleet/memory.swap.max; echo "+memory +pids" > $CG/fleet/cgroup.subtree_control
    for i in 0 1 2 3 4 5 6 7 8 9; do container fleet/shop-$i; app fleet/shop-$i shop --base 3 --leak 1 --step 64 --hold 1000; done
    # A check of all at the same time every ten seconds; the last finds more to check.
    for base in 2 2 2 2 2 8; do
        sleep 10; for i in 0 1 2 3 4 5 6 7 8 9; do app fleet/shop-$i check --base $base --leak 1 --step 8; done
    done
    end_story storm
}
wsl_user_story() {
    W=$CG/wsl-user; D=wsl-user/distro-412/non-systemd/docker
    mkdir $W; echo 110M > $W/memory.max; echo 0 > $W/memory.swap.max
    for d in $W $W/distro-412 $W/distro-412/non-systemd $CG/$D; do mkdir -p $d; echo "+memory +pids" > $d/cgroup.subtree_control; done
    begin_story
    H=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef; G=89abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567
    mkdir $CG/$D/$H $CG/$D/$G
    app $D/$G redis --base 16 --leak 1 --hold 1000
    app $D/$H node --base 20 --leak 300 --step 10; wait $!
    end_story wsl_user_story
}
# The machine is killed from outside.
vm_killed() {
    begin_story; container docker/web 128M
    app docker/web nginx --leak 1 --base 20 --hold 1000
    i=0; while :; do i=$((i+1)); sleep 1; [ $i -lt 25 ] || echo "KILL ME"; done
}
