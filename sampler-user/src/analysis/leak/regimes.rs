//! Where a series changes its ways: optimal partitioning into straight lines. The parts are candidates, not verdicts: on slow
//! noise any penalty finds too many.

use crate::analysis::leak::linear::sen;

/// Ends of the parts, in order; the last is the length. `least` points a part, `penalty` for each.
pub fn partition(y: &[f64], least: usize, penalty: f64) -> Vec<usize> {
    let n = y.len();
    if n < 2 * least {
        return vec![n];
    }
    // Prefix sums give the residual of a line over any part at once.
    let mut sums = vec![[0.0f64; 5]; n + 1];
    for (t, &v) in y.iter().enumerate() {
        let x = t as f64;
        let add = [x, x * x, v, v * v, x * v];
        for i in 0..5 {
            sums[t + 1][i] = sums[t][i] + add[i];
        }
    }
    let cost = |from: usize, to: usize| {
        let m = (to - from) as f64;
        let [x, xx, v, vv, xv] = std::array::from_fn(|i| sums[to][i] - sums[from][i]);
        let (sxx, svv, sxv) = (xx - x * x / m, vv - v * v / m, xv - x * v / m);
        (svv - if sxx > 0.0 { sxv * sxv / sxx } else { 0.0 }).max(0.0)
    };
    let mut best = vec![f64::INFINITY; n + 1];
    let mut before = vec![0; n + 1];
    best[0] = -penalty;
    for to in least..=n {
        for from in (0..=to - least).filter(|from| *from == 0 || *from >= least) {
            let total = best[from] + cost(from, to) + penalty;
            if total < best[to] {
                (best[to], before[to]) = (total, from);
            }
        }
    }
    let (mut ends, mut at) = (Vec::new(), n);
    while at > 0 {
        ends.push(at);
        at = before[at];
    }
    ends.reverse();
    ends
}

/// The begin of the last part of an even pace: the last regimes, of these ends, whose paces are alike.
pub fn last_pace(y: &[f64], ends: &[usize]) -> usize {
    let begins: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
    let mut pairs = begins.windows(2).rev();
    let Some(last) = pairs.next() else { return 0 };
    let (mut from, pace) = (last[0], sen(&y[last[0]..last[1]]));
    for pair in pairs {
        let before = sen(&y[pair[0]..pair[1]]);
        if before < 0.4 * pace || before > 2.5 * pace {
            break;
        }
        from = pair[0];
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bend_is_found_where_it_is_and_a_line_is_one_part() {
        let wiggle = |t: usize| ((t * 7919) % 13) as f64 / 13.0;
        let bent: Vec<f64> = (0..200).map(|t| if t < 80 { 5.0 } else { 5.0 + (t - 80) as f64 } + wiggle(t)).collect();
        let ends = partition(&bent, 12, 12.0 * 0.1 * 200f64.ln());
        assert_eq!(ends.len(), 2);
        assert!((76..84).contains(&ends[0]), "{ends:?}");
        let line: Vec<f64> = (0..200).map(|t| t as f64 + wiggle(t)).collect();
        assert_eq!(partition(&line, 12, 12.0 * 0.1 * 200f64.ln()), [200]);
        assert_eq!(partition(&[1.0; 5], 8, 1.0), [5]);
    }

    #[test]
    fn parts_that_go_on_alike_are_one() {
        let y: Vec<f64> =
            (0..90).map(|t| if t < 30 { 0.0 } else { f64::from(t - 30) * if t < 60 { 1.0 } else { 1.5 } }).collect();
        assert_eq!(last_pace(&y, &[30, 60, 90]), 30);
        let falls: Vec<f64> = y.iter().map(|v| -v).collect();
        assert_eq!(last_pace(&falls, &[30, 60, 90]), 60, "what falls has no pace of growth");
        assert_eq!(last_pace(&y, &[]), 0);
    }
}
