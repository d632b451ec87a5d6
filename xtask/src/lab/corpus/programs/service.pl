# service.pl MODE RATE_KIB_S SPAN_S SEED: as service.py.
use strict;
use warnings;
use Time::HiRes qw(sleep time);

my ($mode, $rate, $span, $seed) = @ARGV;
$rate *= 1024;
srand($seed);
my @base = map { 'x' x (20_000 + rand 60_000) } 1 .. 200 + rand 200;
my ($owed, $t, $begun, %seen) = (0, 0, time);
while (1) {
    for (1 .. 3 + rand 6) {
        my %request = map { ("field-$_" => rand) } 1 .. 80;
        my $text = join ',', map { "$_=$request{$_}" } sort keys %request;
    }
    $owed += $rate;
    if ($mode eq 'cycles') {
        # Two that know each other are never freed.
        while ($owed > 0) {
            my $body = 'y' x (500 + rand 8000);
            my $one = { body => $body };
            $one->{other} = { one => $one };
            $owed -= length($body) + 700;
        }
    } elsif ($mode eq 'memo') {
        # What is asked for is from a finite set, most of it from a small part.
        for (1 .. 10) {
            my $key = int(2500 * rand() ** 2.5);
            $seen{$key} //= 'z' x 12_000;
        }
    }
    $t++;
    my $left = $begun + $t - time;
    sleep($left) if $left > 0;
}
