#!/bin/sh
# As root in a Debian with systemd: each step prints one verdict.
echo "VM UP"
verdict() { # name, command...
    name=$1
    shift
    if why=$("$@" 2>&1); then echo "VERDICT $name ok $(echo "$why" | tail -n 1)"; else echo "VERDICT $name fail $(echo "$why" | tail -n 3 | tr '\n' ' ')"; fi
}
has() { # text, pattern
    echo "$1" | grep -q -- "$2" || { echo "no $2 in: $1"; return 1; }
}
# Emulation is slow: up to a minute for what takes a second.
await() {
    i=0
    until "$@" > /dev/null 2>&1; do
        i=$((i + 1))
        [ $i -lt 60 ] || { "$@"; return 1; }
        sleep 1
    done
}
events() { sampler export /var/lib/sampler --table events --format jsonl; }
has_event() { events | grep -q "$1"; }

package() {
    mkdir -p /var/lib/dpkg/info
    dpkg -i /sampler.deb || return 1
    systemctl is-enabled sampler && { echo "enabled without being asked"; return 1; }
    sampler --version
}
starts() {
    systemctl start sampler || return 1
    await has_event agent_start || return 1
    [ "$(systemctl show -p Slice --value sampler)" = sampler.slice ] || { echo "not in its slice"; return 1; }
    await has_event probe_attached || { events | cut -c1-300; return 1; }
    journalctl -u sampler -o cat | grep -v '^recording to' | head -n 1
}
# It has the rights it needs and no others; what it lacks it says in a degraded event.
confined() {
    pid=$(systemctl show -p MainPID --value sampler)
    has "$(grep CapEff /proc/$pid/status)" '[0-9a-f]*' || return 1
    [ "$(awk '/CapEff/ {print $2}' /proc/$pid/status)" != 000001ffffffffff ] || { echo "it has all rights"; return 1; }
    [ "$(cat /proc/$pid/oom_score_adj)" = -1000 ] || { echo "not protected from the OOM killer"; return 1; }
    if has_event degraded; then events | grep degraded | cut -c1-300; return 1; fi
    awk '/CapEff/ {print "capabilities " $2}' /proc/$pid/status
}
kill_one() {
    systemd-run --unit=leak -p MemoryMax=48M -p MemorySwapMax=0 \
        perl -e 'while (1) { push @a, "x" x 1048576; select undef, undef, undef, 0.05 }' || return 1
    await has_event '"oom_kill"' || { events | tail -n 5 | cut -c1-300; return 1; }
    page=$(COLUMNS=200 sampler postmortem /var/lib/sampler --last) || return 1
    has "$page" 'was OOM-killed at .* by its own limit of 48 MiB' || return 1
    echo "$page" | grep 'was OOM-killed at'
}
stops() {
    systemctl stop sampler || return 1
    has_event agent_stop || { echo "no clean stop"; return 1; }
    sampler info /var/lib/sampler | head -n 1
}
install() {
    sampler install -- --burst 1ms --metrics 127.0.0.1:9464 || return 1
    await systemctl is-active sampler || return 1
    await perl -MIO::Socket::INET -e '
        $s = IO::Socket::INET->new("127.0.0.1:9464") or die "no metrics";
        print $s "GET /metrics HTTP/1.0\r\n\r\n"; @l = <$s>;
        die "no sizes" unless grep /^container_memory_usage_bytes/, @l; print scalar(@l), " lines of metrics\n"' || return 1
    systemctl is-enabled sampler
}
uninstall() {
    sampler uninstall || return 1
    [ ! -e /etc/systemd/system/sampler.service ] || { echo "the unit is left"; return 1; }
    [ -d /var/lib/sampler/samples ] || [ -d /var/lib/sampler/journal ] || { echo "the recording is gone"; return 1; }
    dpkg -r sampler || return 1
    [ ! -e /usr/bin/sampler ] || { echo "the program is left"; return 1; }
    echo "recordings stay"
}

verdict package package
verdict starts starts
verdict confined confined
verdict kill kill_one
verdict stops stops
verdict install install
verdict uninstall uninstall
systemctl poweroff -ff
