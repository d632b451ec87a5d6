//! Fits limits into a budget.

use serde::Serialize;

use crate::advise::limit::STEP;

/// What one container asks for, bytes.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// What it should get.
    pub target: u64,
    /// What it must get.
    pub lower: u64,
    /// Whether it was killed or stalled for memory: it gives last.
    pub trouble: bool,
}

/// How claims and a budget go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// They fit.
    Fits {
        /// What each gets, in the order of the claims.
        limits: Vec<u64>,
        /// What is left.
        spare: u64,
    },
    /// They do not.
    Short {
        /// What all need at least.
        needed: u64,
        /// What is missing.
        missing: u64,
    },
}

/// Fits claims into a budget: first those without trouble give what is above their lower bound, in proportion to it, then the
/// others. Nobody gets less than its lower bound: then it does not fit.
pub fn fit(claims: &[Claim], budget: u64) -> Fit {
    let sum = |limits: &[u64]| limits.iter().fold(0u64, |sum, limit| sum.saturating_add(*limit));
    let mut limits: Vec<u64> = claims.iter().map(|claim| claim.target.max(claim.lower)).collect();
    for trouble in [false, true] {
        let over = sum(&limits).saturating_sub(budget);
        let room = |at: usize| limits[at].saturating_sub(claims[at].lower);
        let givers: Vec<(usize, u64)> =
            (0..claims.len()).filter(|at| claims[*at].trouble == trouble).map(|at| (at, room(at))).collect();
        let all = givers.iter().fold(0u64, |sum, (_, room)| sum.saturating_add(*room));
        if over == 0 || all == 0 {
            continue;
        }
        let part = (over as f64 / all as f64).min(1.0);
        for (at, room) in givers {
            // Rounded up, so that the sum is not above the budget.
            let gives = ((room as f64 * part) as u64).saturating_add(1).next_multiple_of(STEP).min(room);
            limits[at] -= gives;
        }
    }
    let needed = claims.iter().fold(0u64, |sum, claim| sum.saturating_add(claim.lower));
    match budget.checked_sub(sum(&limits)) {
        Some(spare) => Fit::Fits { limits, spare },
        None => Fit::Short { needed, missing: needed - budget },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn claim(target: u64, lower: u64, trouble: bool) -> Claim {
        Claim { target: target * MIB, lower: lower * MIB, trouble }
    }

    fn fitted(claims: &[Claim], budget: u64) -> Option<Vec<u64>> {
        match fit(claims, budget * MIB) {
            Fit::Fits { limits, .. } => Some(limits.iter().map(|limit| limit / MIB).collect()),
            Fit::Short { .. } => None,
        }
    }

    #[test]
    fn those_without_trouble_give_first_and_nobody_below_its_bound() {
        let claims = [claim(100, 60, false), claim(200, 180, false), claim(100, 80, true)];
        assert_eq!(fitted(&claims, 400), Some(vec![100, 200, 100]), "nothing is given without need");
        assert_eq!(fitted(&claims, 370), Some(vec![79, 189, 100]));
        assert_eq!(fitted(&claims, 330), Some(vec![60, 180, 89]));
        assert_eq!(fitted(&claims, 320), Some(vec![60, 180, 80]));
        assert_eq!(fit(&claims, 300 * MIB), Fit::Short { needed: 320 * MIB, missing: 20 * MIB });
        assert_eq!(fitted(&[], 0), Some(vec![]));
    }

    proptest! {
        #[test]
        fn what_fits_is_within_the_budget_and_what_does_not_needs_more(
            claims in prop::collection::vec((0u64..4096, 0u64..4096, any::<bool>()), 0..20), budget in 0u64..65536
        ) {
            let claims: Vec<Claim> = claims.into_iter().map(|(t, l, trouble)| claim(t.max(l), l, trouble)).collect();
            let needed: u64 = claims.iter().map(|claim| claim.lower).sum();
            match fit(&claims, budget * MIB) {
                Fit::Fits { limits, spare } => {
                    prop_assert_eq!(limits.iter().sum::<u64>() + spare, budget * MIB);
                    for (limit, claim) in limits.iter().zip(&claims) {
                        prop_assert!((claim.lower..=claim.target).contains(limit));
                    }
                }
                Fit::Short { missing, .. } => prop_assert_eq!(missing, needed - budget * MIB),
            }
        }
    }
}
