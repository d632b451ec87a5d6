# A job in a cgroup of its own below the container's, as a CI runner or systemd in a container makes it. cgroup v1.
job=/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)/job
mkdir -p $job
echo 40M > $job/memory.limit_in_bytes
sleep 30
sh -c "echo 0 > $job/cgroup.procs; exec python3 /programs/memory.py hold 4 leak 2"
sleep 100000
